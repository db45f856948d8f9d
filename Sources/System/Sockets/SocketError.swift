public import CSluiceLinux

/// What went wrong with a connection.
public struct SocketError: Error, CustomStringConvertible {
  /// The kinds that a caller may want to tell apart.
  public enum Code: Hashable, Sendable {
    /// There is no such host or address.
    case unresolved
    /// The peer was silent, or took nothing, for too long.
    case timedOut
    /// The stream ended before all came that was waited for.
    case ended
    /// A system call failed.
    case failed
  }

  /// The kind of failure.
  public let code: Code
  /// What was being done, and with whom; one line, without the kernel's reason.
  public let message: String
  /// The kernel's reason, where there was one.
  public let errno: SystemErrno?

  /// A failure of that kind.
  public init(_ code: Code, _ message: String, errno: SystemErrno? = nil) {
    self.code = code
    self.message = message
    self.errno = errno
  }

  /// A system call failed.
  ///
  /// - Parameter result: what a function of CSluiceLinux returned, -errno.
  init(_ doing: String, returned result: some SignedInteger) {
    let errno = SystemErrno(code: Int32(-result))
    self.init(errno.name == "ETIMEDOUT" ? .timedOut : .failed, doing, errno: errno)
  }

  /// The message, and the kernel's reason.
  public var description: String { errno.map { "\(message): \($0.reason)" } ?? message }
}
