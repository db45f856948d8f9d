import ArgumentParser
import Sluice

/// `sluice dirty-rate`
struct DirtyRateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dirty-rate",
    abstract: "Measure how much a process writes, and what rounds would therefore cost.",
    discussion: """
      Counts the different pages that the process and its present descendants write in windows of several lengths, and \
      tells what rounds of 'sluice pre-dump --rounds' would copy at a given rate, and how much would be left for the \
      final dump.

      Writes are found by asynchronous write protection (Linux 6.7), which disturbs no chain of images: two system \
      calls are injected into one thread of each process, which stands still for about a tenth of a millisecond. With \
      --clear-soft-dirty nothing is injected, and the kernel's soft-dirty bits are cleared and read instead. A chain \
      of images that is being made of the process, by Sluice or by CRIU, goes by these bits: the next round on top of \
      it would lack what was written before. So use that before the first round only.
      """)

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional,
    help: ArgumentHelp("The process that is measured, with its descendants.", valueName: "pid"))
  var pid: Int32

  @Option(parsing: .unconditional, help: ArgumentHelp("For how long.", valueName: "n"))
  var seconds = 10.0

  @Flag(help: "Use the soft-dirty bits: there is no chain of images yet that goes by them.")
  var clearSoftDirty = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How much would be copied in a second, such as 500M: what disk or network take.", valueName: "size"))
  var copyRate = ByteCount(bytes: 1 << 30)

  @Option(
    parsing: .unconditional, help: ArgumentHelp("The most rounds that are reckoned with.", valueName: "n"))
  var rounds = 8

  @Flag(help: "Print it as one JSON object.")
  var json = false

  func validate() throws {
    guard seconds > 0, seconds <= 86_400 else {
      throw ValidationError("--seconds: some time, and no more than a day (86400)")
    }
    guard copyRate.bytes > 0 else { throw ValidationError("--copy-rate: nothing would be copied") }
    guard rounds > 0, rounds <= DirtyRateModel.mostRounds else {
      throw ValidationError("--rounds: from 1 to \(DirtyRateModel.mostRounds)")
    }
  }

  func run() async throws {
    var measurement = DirtyRate(pid: pid)
    measurement.seconds = seconds
    measurement.clearsSoftDirty = clearSoftDirty
    let configured = measurement
    let (result, cause) = await SignalCancellation.run { () async throws(SluiceError) in
      try await configured.run()
    }
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
