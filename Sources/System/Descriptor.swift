internal import CSluiceLinux

/// A descriptor that is closed when its owner lets go of it.
public struct Descriptor: ~Copyable, Sendable {
  /// For system calls of the owner's own.
  public let number: Int32

  /// Takes over an open descriptor.
  public init(owning number: Int32) {
    self.number = number
  }

  deinit {
    _ = sluice_close(number)
  }

  /// What the kernel says of what is open.
  ///
  /// - Parameter path: how it is called in messages.
  /// - Throws: `SystemError`.
  public func status(path: String) throws(SystemError) -> FileStatus {
    var status = sluice_file_status()
    let result = unsafe sluice_status_of(number, &status)
    guard result == 0 else { throw SystemError("looking at \(path)", returned: result) }
    return FileStatus(status)
  }

  /// Hands the descriptor to somebody else, who closes it.
  public consuming func take() -> Int32 {
    let number = number
    discard self
    return number
  }
}
