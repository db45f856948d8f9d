import ArgumentParser
import Glibc
import Sluice

/// `--log-format`
enum LogFormat: String, ExpressibleByArgument, CaseIterable {
  case text
  case json
}

/// The options about the run as a whole: how long it may take, and where it tells of itself.
struct RunOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "End the run after this time, as a signal would end it, with exit code 124.",
      discussion: "Rounds that are complete by then are kept.",
      valueName: "seconds"))
  var timeout: Double?

  @Option(
    help: ArgumentHelp(
      "Write sluice's own pid to this file, and remove the file at the end.",
      discussion: "A stale pid file of a killed run is replaced; any other existing file is an error.",
      valueName: "file"),
    completion: .file())
  var pidFile: String?

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp(
      "Append messages to this file instead of writing them to standard error. No progress bar is shown then.",
      discussion: """
        Each line has the time (UTC), the level and sluice's pid. A relative path is taken from the work directory, or else \
        from the images directory, like CRIU does. Wrong options are reported on standard error in any case.
        """,
      valueName: "file"),
    completion: .file())
  var logFile: String?

  @Option(
    help: ArgumentHelp(
      "The form of messages: text, or json for one JSON object each, with time, level, pid and message.",
      valueName: "form"))
  var logFormat = LogFormat.text

  func validate() throws {
    if let timeout, !(timeout > 0 && timeout <= 1e9) {
      throw ValidationError("--timeout must be above 0 (seconds)")
    }
  }

  /// Runs work within these bounds.
  ///
  /// - Parameter directory: where a relative log file belongs.
  /// - Throws: `ExitCode`, after what went wrong has been said.
  func run<Success: Sendable>(
    logsIn directory: String, _ work: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async throws(ExitCode) -> Success {
    if logFormat == .json { Terminal.writeMessagesAsJSON() }
    if let logFile {
      let isAbsolute = logFile.hasPrefix("/")
      guard isAbsolute || !directory.isEmpty else {
        throw CommandFailure.cannotCreate(
          "making the log file \(logFile) in a directory with an empty name", errno: ENOENT)
      }
      // What is wrong with the directory, opening the file will tell.
      if !isAbsolute { try? NamedDirectory.make(path: directory) }
      do throws(SluiceError) {
        try Terminal.sendMessages(toFileAt: isAbsolute ? logFile : "\(directory)/\(logFile)")
      } catch {
        throw CommandFailure.report(error)
      }
    }
    let pidFile = try pidFile.map { path throws(ExitCode) in try PidFile(creatingAt: path) }
    defer { pidFile?.remove() }
    let (result, cause) = await SignalCancellation.run(
      timeout: timeout.map { .seconds($0) }, beforeAbruptEnd: { pidFile?.remove() }, work)
    switch result {
    case .success(let value): return value
    case .failure(let error): throw CommandFailure.report(error, after: cause)
    }
  }
}
