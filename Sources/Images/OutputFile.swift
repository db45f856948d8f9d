internal import CSluiceLinux

/// A file that is being written, closed when nobody holds it any more.
public final class OutputFile: Sendable {
  /// For system calls of the caller's own, such as an io_uring's.
  public let descriptor: Int32
  /// How the file is called in messages.
  public let path: String

  init(creating name: String, in directory: Int32, path: String) throws(ImagesError) {
    let result = unsafe sluice_open_at(directory, name, SLUICE_OPEN_CREATE)
    guard result >= 0 else {
      throw ImagesError(.cannotCreate, "creating \(path)", errno: SystemErrno(returned: result))
    }
    descriptor = result
    self.path = path
  }

  deinit {
    // What was written is on the disk since `sync`, or was not meant to be.
    _ = sluice_close(descriptor)
  }

  /// Writes all bytes at an offset in the file.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(ImagesError) {
    var done = 0
    while done < bytes.count {
      let count = unsafe sluice_pwrite(
        descriptor, bytes.baseAddress! + done, bytes.count - done, offset + UInt64(done))
      guard count > 0 else { throw Self.writeFailed(path, result: count) }
      done += count
    }
  }

  /// Waits until what was written is on the disk.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func sync() throws(ImagesError) {
    let result = sluice_fsync(descriptor)
    guard result == 0 else { throw Self.writeFailed(path, result: Int(result)) }
  }

  static func writeFailed(_ path: String, result: Int) -> ImagesError {
    let errno = SystemErrno(returned: result)
    let advice =
      switch errno.name {
      case "ENOSPC", "EDQUOT": "; make room there or choose another directory"
      case "EFBIG": "; raise the limit on file sizes (ulimit -f)"
      default: ""
      }
    return ImagesError(.io, "writing \(path)\(advice)", errno: errno)
  }
}
