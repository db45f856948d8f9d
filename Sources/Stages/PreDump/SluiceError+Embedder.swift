extension SluiceError {
  /// An error such as the library throws, as tests of a program that embeds it need them.
  ///
  /// - Parameters:
  ///   - code: the kind of failure.
  ///   - message: one line, for people.
  ///   - errno: the kernel's reason, where there is one.
  ///   - isCausedByExec: whether the target is gone because the process executes another program now.
  public init(_ code: Code, message: String, errno: ErrorNumber? = nil, isCausedByExec: Bool = false) {
    self.init(code, message, errno: errno?.kernel, isCausedByExec: isCausedByExec)
  }

  /// Any error, such as that of an embedder's source, filter or sink, as one of the library's; one that is stays as it is.
  ///
  /// A `CancellationError` becomes one with `cancelled`, any other one with `io`, and its description is the message.
  public init(of error: any Error) {
    switch error {
    case let error as SluiceError: self = error
    case is CancellationError: self = .cancelled
    default: self.init(.io, "\(error)")
    }
  }
}
