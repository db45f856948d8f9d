public import CSluiceLinux
internal import SluiceSystem

/// What went wrong with an images directory or a file in it.
public struct ImagesError: Error, CustomStringConvertible {
  /// The kinds that a caller may want to tell apart.
  public enum Code: Hashable, Sendable {
    /// The directory to read is not there.
    case noSuchDirectory
    /// The output cannot be made: the directory cannot be written, or is not empty of images.
    case cannotCreate
    /// Reading or writing failed.
    case io
    /// A file does not hold what its name promises.
    case malformed
    /// Our task was cancelled.
    case cancelled
  }

  /// The kind of failure.
  public let code: Code
  /// What was being done, to which file, and what to do about it; one line.
  public let message: String
  /// The kernel's reason, where there was one.
  public let errno: SystemErrno?

  /// A failure of that kind.
  public init(_ code: Code, _ message: String, errno: SystemErrno? = nil) {
    self.code = code
    self.message = message
    self.errno = errno
  }

  /// What went wrong below, as a failure of that kind.
  init(_ error: SystemError, _ code: Code) {
    self.init(code, error.message, errno: error.errno)
  }

  /// Makes sure that our task goes on. For what takes its time and has no other place to end early.
  ///
  /// - Throws: `ImagesError` with `cancelled`.
  public static func checkCancellation() throws(ImagesError) {
    guard !Task.isCancelled else { throw ImagesError(.cancelled, "the task was cancelled") }
  }

  /// The message, and the kernel's reason.
  public var description: String {
    errno.map { "\(message): \($0.reason)" } ?? message
  }
}
