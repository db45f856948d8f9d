internal import CSluiceLinux
internal import SluiceSystem

/// An open file below /proc, closed with the value.
///
/// A descriptor of /proc/PID/mem, pagemap or maps stays with the memory that the process had when it was
/// opened: after an execve it reads nothing (0 bytes) rather than the new program.
struct ProcFile: ~Copyable, Sendable {
  let descriptor: Int32

  enum Access {
    case read
    /// For what we need not be allowed to read: that the open fails is no harm.
    case readIfAllowed
    case write
  }

  /// - Throws: the errno of the failed open, which only the caller can explain.
  init(
    path: String, in directory: Int32 = sluice_current_directory(), access: Access = .read
  ) throws(OpenFailed) {
    let mode =
      switch access {
      case .read: SLUICE_OPEN_READ
      case .readIfAllowed: SLUICE_OPEN_READ_IF_ALLOWED
      case .write: SLUICE_OPEN_WRITE
      }
    let result = unsafe sluice_open_at(directory, path, mode)
    guard result >= 0 else { throw OpenFailed(errno: SystemErrno(returned: result)) }
    descriptor = result
  }

  init(adopting descriptor: Int32) {
    self.descriptor = descriptor
  }

  deinit {
    // Nothing was written through it that a failing close could lose.
    _ = sluice_close(descriptor)
  }

  struct OpenFailed: Error {
    let errno: SystemErrno
  }

  /// All of a file, as text. Most are small, but a line of /proc/PID/status names up to 65536 groups.
  static func text(
    ofFileAt path: String, in directory: Int32 = sluice_current_directory(), access: Access = .read
  ) throws(OpenFailed) -> String {
    try ProcFile(path: path, in: directory, access: access).text()
  }

  /// The same of an open one, from where it was read to last.
  func text() throws(OpenFailed) -> String { String(decoding: try bytes(), as: UTF8.self) }

  /// All bytes from where it was read to last, or as many as are wanted.
  func bytes(atMost limit: Int = .max) throws(OpenFailed) -> [UInt8] {
    var length = 0
    var bytes = [UInt8](repeating: 0, count: min(limit, 8 << 10))
    while length < limit {
      if length == bytes.count { bytes += [UInt8](repeating: 0, count: min(length, limit - length)) }
      let count = unsafe bytes.withUnsafeMutableBytes {
        unsafe sluice_read(descriptor, $0.baseAddress! + length, $0.count - length)
      }
      guard count >= 0 else { throw OpenFailed(errno: SystemErrno(returned: count)) }
      if count == 0 { break }
      length += count
    }
    bytes.removeLast(bytes.count - length)
    return bytes
  }
}
