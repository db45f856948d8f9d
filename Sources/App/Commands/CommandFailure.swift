import ArgumentParser
import Sluice

/// Says what went wrong, in one line, and gives the exit code for it.
enum CommandFailure {
  /// - Parameter cause: what cancelled the work, if anything did.
  static func report(_ error: SluiceError, after cause: CancellationCause? = nil) -> ExitCode {
    Terminal.message("sluice: \(error)")
    if let cause, error.code == .cancelled { return ExitCode(cause) }
    return ExitCode(error.code)
  }

  /// Standard output could not be written.
  static var outputFailed: ExitCode {
    Terminal.message("sluice: writing to standard output failed")
    return ExitCode(.io)
  }

  /// A file of the command's own cannot be made.
  static func cannotCreate(_ doing: String, errno number: Int32? = nil) -> ExitCode {
    Terminal.message("sluice: \(doing)\(number.map { ": \(text($0))" } ?? "")")
    return ExitCode(.cannotCreate)
  }

  /// A file of the command's own cannot be written.
  static func cannotWrite(_ doing: String, errno number: Int32) -> ExitCode {
    Terminal.message("sluice: \(doing): \(text(number))")
    return ExitCode(.io)
  }

  /// An error number's name and meaning.
  static func text(_ number: Int32) -> String {
    ErrorNumber(code: number).description
  }
}
