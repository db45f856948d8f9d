import ArgumentParser
import Glibc
import Sluice

/// Says what went wrong, in one line, and gives the exit code for it.
enum CommandFailure {
  /// - Parameter cause: what cancelled the work, if anything did.
  static func report(_ error: SluiceError, after cause: CancellationCause? = nil) -> ExitCode {
    Terminal.message("sluice: \(error)", level: .error)
    if let cause, error.code == .cancelled { return ExitCode(cause) }
    return ExitCode(error.code)
  }

  /// Standard output could not be written.
  static var outputFailed: ExitCode { ExitCode(Terminal.outputFailed()) }

  /// A file or directory of the command's own cannot be made.
  static func cannotCreate(_ doing: String, errno number: Int32? = nil) -> ExitCode {
    Terminal.message("sluice: \(doing)\(number.map { ": \(text($0))" } ?? "")", level: .error)
    return ExitCode(.cannotCreate)
  }

  /// A file of the command's own cannot be written.
  static func cannotWrite(_ doing: String, errno number: Int32) -> ExitCode {
    Terminal.message("sluice: \(doing): \(text(number))", level: .error)
    return ExitCode(.io)
  }

  /// What an option names is not there.
  static func isMissing(_ what: String) -> ExitCode {
    Terminal.message("sluice: \(what) does not exist: \(text(ENOENT))", level: .error)
    return ExitCode(.notFound)
  }

  /// The directory has no images of its own, but those of rounds in it.
  static func hasRounds(_ rounds: RoundsDirectory) -> ExitCode {
    Terminal.message("sluice: \(rounds.problem)", level: .error)
    return ExitCode(.notFound)
  }

  /// An error number's name and meaning.
  static func text(_ number: Int32) -> String {
    ErrorNumber(code: number).description
  }
}
