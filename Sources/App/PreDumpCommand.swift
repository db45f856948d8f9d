import ArgumentParser
import Sluice

/// `sluice pre-dump`
struct PreDumpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pre-dump",
    abstract: "Copy the memory of a running process into an images directory.",
    discussion: """
      The process goes on running all the while. Where the kernel keeps a soft-dirty bit it is cleared \
      first, so that 'criu dump --track-mem --prev-images-dir' later copies only what was written since.
      """)

  @Option(name: [.customShort("t"), .customLong("tree")], help: "The process to copy.")
  var pid: Int32

  @Option(
    name: [.customShort("D"), .long],
    help: "Where the images go. It is made where there is none, and must hold no images yet.")
  var imagesDir: String

  @Option(
    help: ArgumentHelp(
      "The memory that may be used for the copying, such as 16M or 1GiB.",
      discussion: """
        The program itself takes some 14 MiB more. Images on a tmpfs are memory as well, which the budget \
        does not count.
        """,
      valueName: "size"))
  var memoryBudget = ByteCount(bytes: 64 << 20)

  @Flag(help: "Print the figures as one JSON object on standard output.")
  var json = false

  @Flag(name: [.short, .long], help: "Tell what is being done; twice for more.")
  var verbose: Int

  @Option(
    help: ArgumentHelp("How page states are found: auto, scan or pagemap.", visibility: .hidden))
  var pageStates = PageStatesOption.auto

  func run() async throws {
    var configuration = PreDump.Configuration(pid: pid, imagesDirectory: imagesDir)
    configuration.memoryBudget = memoryBudget.bytes
    configuration.pageStates = pageStates.value
    configuration.logger = StandardErrorLog.logger(verbosity: verbose)
    let preDump = PreDump(configuration)
    let (result, signal) = await SignalCancellation.run { () async throws(PreDumpError) in
      try await preDump.run()
    }
    switch result {
    case .success(let report):
      let output = PreDumpOutput(report)
      Terminal.message(output.summary)
      if json, try !Terminal.json(output) { throw CommandFailure.outputFailed }
    case .failure(let error):
      throw CommandFailure.report(error, signal: signal)
    }
  }
}

/// The hidden option `--page-states`.
enum PageStatesOption: String, ExpressibleByArgument, CaseIterable {
  case auto
  case scan
  case pagemap

  var value: PreDump.Configuration.PageStates {
    switch self {
    case .auto: .automatic
    case .scan: .pagemapScan
    case .pagemap: .pagemap
    }
  }
}

enum CommandFailure {
  /// Says what went wrong, in one line, and gives the exit code for it.
  static func report(_ error: PreDumpError, signal: Int32? = nil) -> ExitCode {
    Terminal.message("sluice: \(error)")
    if let signal, error.code == .cancelled { return ExitCode(signal: signal) }
    return ExitCode(error.code)
  }

  /// Standard output could not be written.
  static var outputFailed: ExitCode {
    Terminal.message("sluice: writing to standard output failed")
    return ExitCode(74)
  }
}
