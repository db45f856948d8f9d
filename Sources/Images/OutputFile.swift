internal import CSluiceLinux

/// A file that is being written, closed when nobody holds it any more.
public final class OutputFile: Sendable {
  /// For system calls of the caller's own, such as an io_uring's.
  public let descriptor: Int32
  /// How the file is called in messages.
  public let path: String

  /// Whether writes go past the page cache (O_DIRECT): offsets, lengths and addresses are then multiples of
  /// the page size.
  public let isDirect: Bool

  init(creating name: String, in directory: Int32, path: String, direct: Bool = false) throws(ImagesError) {
    let mode = direct ? SLUICE_OPEN_CREATE_DIRECT : SLUICE_OPEN_CREATE
    var result = unsafe sluice_open_at(directory, name, mode)
    isDirect = direct && result >= 0
    if direct, result < 0, SystemErrno(returned: result).name == "EINVAL" {
      // The filesystem has no O_DIRECT, which it says only after it has made the file.
      _ = unsafe sluice_unlink_at(directory, name, false)
      result = unsafe sluice_open_at(directory, name, SLUICE_OPEN_CREATE)
    }
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

  /// Writes all bytes at an offset in the file.
  ///
  /// - Throws: `ImagesError` with `io`.
  func write(_ bytes: [UInt8], at offset: UInt64) throws(ImagesError) {
    var failure: ImagesError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(ImagesError) { unsafe try write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Waits until what was written is on the disk.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func sync() throws(ImagesError) {
    let result = sluice_fsync(descriptor)
    guard result == 0 else { throw Self.writeFailed(path, result: Int(result)) }
  }

  /// Gives the file exactly this length.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func setSize(_ byteCount: UInt64) throws(ImagesError) {
    let result = sluice_set_file_size(descriptor, byteCount)
    guard result == 0 else { throw Self.writeFailed(path, result: Int(result)) }
  }

  /// Allocates space, making the file as long if it was shorter.
  ///
  /// - Returns: false when the filesystem cannot, or has no room; the file is then as it was.
  public func allocate(_ range: Range<UInt64>) -> Bool {
    sluice_allocate(descriptor, range.lowerBound, UInt64(range.count)) == 0
  }

  /// Whether the file lives in memory, so that its page cache is the file itself.
  public var isInMemory: Bool { sluice_is_in_memory(descriptor) == 1 }

  /// Sends a range to the disk without waiting.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func startWriteback(_ range: Range<UInt64>) throws(ImagesError) {
    let result = sluice_start_writeback(descriptor, range.lowerBound, UInt64(range.count))
    guard result == 0 else { throw Self.writeFailed(path, result: Int(result)) }
  }

  /// Waits until a range is on the disk and drops it from the page cache.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func finishWriteback(_ range: Range<UInt64>) throws(ImagesError) {
    let result = sluice_finish_writeback(descriptor, range.lowerBound, UInt64(range.count))
    guard result == 0 else { throw Self.writeFailed(path, result: Int(result)) }
  }

  /// The error for a write to this file that somebody else did.
  public func writeFailed(errno: Int32) -> ImagesError {
    Self.writeFailed(path, result: -Int(errno))
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
