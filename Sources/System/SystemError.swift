public import CSluiceLinux

/// What went wrong with a file or a directory.
public struct SystemError: Error, CustomStringConvertible {
  /// The kinds that a caller may want to tell apart.
  public enum Code: Hashable, Sendable {
    /// There is no such thing.
    case missing
    /// What is there is left alone: a link or a device in place of a file, or what somebody else may change.
    case refused
    /// The kernel cannot do it.
    case failed
  }

  /// The kind of failure.
  public let code: Code
  /// What was being done, to what, and what to do about it; one line.
  public let message: String
  /// The kernel's reason, where there was one.
  public let errno: SystemErrno?

  /// What is there is left alone, for a reason that the message tells.
  public init(refusing message: String) {
    (code, self.message, errno) = (.refused, message, nil)
  }

  /// A system call failed.
  ///
  /// - Parameter result: what a function of CSluiceLinux returned, -errno.
  public init(_ doing: String, returned result: some SignedInteger) {
    let errno = SystemErrno(code: Int32(-result))
    switch errno.name {
    case "ENOENT": (code, message) = (.missing, doing)
    case "ELOOP":
      (code, message) = (.refused, "\(doing): a symbolic link is on the way, which is not followed")
    case "EXDEV": (code, message) = (.refused, "\(doing): that leads out of the directory")
    default: (code, message) = (.failed, doing)
    }
    self.errno = errno
  }

  /// The message, and the kernel's reason.
  public var description: String {
    errno.map { "\(message): \($0.reason)" } ?? message
  }
}
