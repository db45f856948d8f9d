import ArgumentParser
import Glibc
import Sluice

/// `sluice top`
struct TopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top",
    abstract: "Watch in the terminal how much a process writes, and where.",
    discussion: """
      Shows the rate of written pages, the mappings that are written to most, and what rounds and the last stop of a \
      pre-dump would take at present. Ctrl-C ends it, and the terminal is as it was before.

      Writes are found as by 'sluice dirty-rate', which measures once and also prints JSON: two system calls are injected \
      into one thread of each process, once, in the beginning.
      """)

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional,
    help: ArgumentHelp("The process to watch, with its descendants.", valueName: "pid"))
  var pid: Int32

  @Option(
    name: [.customShort("d"), .long], parsing: .unconditional,
    help: ArgumentHelp("The seconds between two pictures.", valueName: "n"))
  var delay = 1.0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Assumed speed of the disk or network, per second, such as 500M.", valueName: "size"))
  var copyRate = ByteCount(bytes: 1 << 30)

  func validate() throws {
    guard delay >= 0.1, delay <= 3600 else { throw ValidationError("--delay must be from 0.1 to 3600") }
    guard copyRate.bytes > 0 else { throw ValidationError("--copy-rate must be above 0") }
  }

  func run() async throws {
    guard isatty(STDOUT_FILENO) == 1 else {
      throw ValidationError("top needs a terminal to draw in: 'sluice dirty-rate -t \(pid)' measures once")
    }
    let (rate, delay) = (DirtyRate(pid: pid), delay)
    let display = TopDisplay(TopView(copyRate: copyRate.bytes))
    display.open(
      saying: "watching process \(pid): the first figures come in \(Elapsed.text(.seconds(delay)))")
    let (result, cause) = await SignalCancellation.run(
      isQuiet: true, beforeAbruptEnd: { display.close() }
    ) { () async throws(SluiceError) in
      try await rate.watch(every: delay) { display.show($0) }
    }
    display.close()
    guard case .failure(let error) = result else { return }
    // A signal is how it ends.
    if case .signal? = cause, error.code == .cancelled { return }
    throw CommandFailure.report(error, after: cause)
  }
}
