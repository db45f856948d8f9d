import ArgumentParser
import Glibc
import Sluice

/// `sluice dirty-rate`
struct DirtyRateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dirty-rate",
    abstract: "Measure how much a process writes, and estimate the cost of rounds.",
    discussion: """
      Counts the different pages that the process and its present descendants write in windows of several lengths, and \
      estimates how much rounds of 'sluice pre-dump --rounds' would copy, how long all of it would take, and how long the \
      process would be stopped in the end.

      Writes are found by asynchronous write protection (Linux 6.7), which breaks no chain of images: two system calls are \
      injected into one thread of each process, which is stopped for about a tenth of a millisecond. With \
      --clear-soft-dirty nothing is injected, and the kernel's soft-dirty bits are cleared and read instead. Clearing the \
      bits breaks any chain of images in progress, Sluice's or CRIU's: its next round would miss pages written before. So \
      use that before the first round only.
      """)

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional,
    help: ArgumentHelp("The process to measure, with its descendants.", valueName: "pid"))
  var pid: Int32

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How long to measure, in seconds. The longest window is about half of that.", valueName: "n"))
  var seconds = 10.0

  @Flag(help: "Measure with soft-dirty bits. Only safe while no chain of images of this process exists.")
  var clearSoftDirty = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Assumed speed of the disk or network, per second, such as 500M.", valueName: "size"))
  var copyRate = ByteCount(bytes: 1 << 30)

  @Option(
    parsing: .unconditional, help: ArgumentHelp("The largest number of rounds to assume.", valueName: "n"))
  var rounds = 8

  @Flag(help: "Print it as one JSON object.")
  var json = false

  func validate() throws {
    guard seconds > 0, seconds <= 86_400 else {
      throw ValidationError("--seconds must be above 0 and at most 86400")
    }
    guard copyRate.bytes > 0 else { throw ValidationError("--copy-rate must be above 0") }
    guard rounds > 0, rounds <= DirtyRateModel.mostRounds else {
      throw ValidationError("--rounds must be from 1 to \(DirtyRateModel.mostRounds)")
    }
  }

  func run() async throws {
    var measurement = DirtyRate(pid: pid)
    measurement.seconds = seconds
    measurement.clearsSoftDirty = clearSoftDirty
    let configured = measurement
    if !json, isatty(STDERR_FILENO) == 1 {
      Terminal.showStatus("measuring for \(Elapsed.text(.seconds(seconds)))")
    }
    defer { Terminal.showStatus(nil) }
    let (result, cause) = await SignalCancellation.run { () async throws(SluiceError) in
      try await configured.run()
    }
    Terminal.showStatus(nil)
    switch result {
    case .success(let report):
      var policy = RoundPolicy()
      policy.rounds = rounds
      let output = try DirtyRateOutput(report, copyRate: copyRate.bytes, policy)
      guard json ? Terminal.json(output) : Terminal.data(output.text) else {
        throw CommandFailure.outputFailed
      }
    case .failure(let error):
      throw CommandFailure.report(error, after: cause)
    }
  }
}
