import ArgumentParser
import Glibc
import Sluice

/// The options about the run as a whole: how long it may take, and where it tells of itself.
struct RunOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "End the run when it takes longer, as a signal would end it, with exit code 124.",
      discussion: "Rounds that are finished by then are kept.",
      valueName: "seconds"))
  var timeout: Double?

  @Option(
    help: ArgumentHelp(
      "Write sluice's own pid there, for as long as it runs.",
      discussion: "What a run that was killed has left there is replaced; any other file is left alone.",
      valueName: "file"),
    completion: .file())
  var pidFile: String?

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp(
      "Append messages to this file instead of writing them to standard error. There is no bar then.",
      discussion:
        "A relative path begins in the work directory, or else in the images directory, as CRIU has it.",
      valueName: "file"),
    completion: .file())
  var logFile: String?

  func validate() throws {
    if let timeout, !(timeout > 0 && timeout <= 1e9) {
      throw ValidationError("--timeout takes a number of seconds above 0")
    }
  }

  /// Runs work within these bounds.
  ///
  /// - Parameter directory: where a relative log file belongs.
  /// - Throws: `ExitCode`, after what went wrong has been said.
  func run<Success: Sendable>(
    logsIn directory: String, _ work: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async throws(ExitCode) -> Success {
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
