internal import CSluiceLinux
public import SluiceSystem

/// A file that is being written, closed when nobody holds it any more.
public final class OutputFile: Sendable {
  /// For system calls of the caller's own, such as an io_uring's.
  public var descriptor: Int32 { created.descriptor.number }
  /// How the file is called in messages.
  public let path: String

  /// Whether writes go past the page cache (O_DIRECT): offsets, lengths and addresses are then multiples of
  /// the page size.
  public var isDirect: Bool { created.isDirect }

  private let created: CreatedFile

  init(
    creating name: String, in directory: borrowing DirectoryHandle, direct: Bool = false
  ) throws(ImagesError) {
    do throws(SystemError) {
      created = try directory.create(name, direct: direct)
    } catch {
      throw ImagesError(error, .cannotCreate)
    }
    path = directory.path(of: name)
  }

  /// Takes over a file that was made.
  ///
  /// - Parameter path: how it is called in messages.
  public init(_ created: consuming CreatedFile, path: String) {
    self.created = created
    self.path = path
  }

  /// From now on writes go through the page cache, and may begin and end anywhere. Nothing may be in flight.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func leaveDirect() throws(ImagesError) {
    let result = sluice_leave_direct(descriptor)
    guard result == 0 else { throw Self.writeFailed(path, result: Int(result)) }
  }

  /// The bytes that the file takes on the disk.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func allocatedBytes() throws(ImagesError) -> UInt64 {
    let result = sluice_file_allocated(descriptor)
    guard result >= 0 else { throw Self.writeFailed(path, result: Int(result)) }
    return UInt64(result)
  }

  /// Has a range, of whole pages, read as zeros.
  ///
  /// - Throws: `ImagesError` with `io`.
  public func zero(_ range: Range<UInt64>) throws(ImagesError) {
    let result = sluice_zero(descriptor, range.lowerBound, UInt64(range.count))
    guard result == 0 else { throw Self.writeFailed(path, result: Int(result)) }
  }

  /// Gives the file to somebody else. What is written to it by this descriptor after that is theirs, too.
  ///
  /// - Returns: why that is not possible; nil where it was done.
  func give(to owner: FileOwner) -> SystemErrno? {
    let result = sluice_give(descriptor, owner.user, owner.group)
    return result == 0 ? nil : SystemErrno(returned: result)
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
  public func write(_ bytes: [UInt8], at offset: UInt64) throws(ImagesError) {
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

  /// Has the filesystem say what went wrong with what was written, which some say only when a file is closed.
  ///
  /// - Parameter syncs: whether to wait until it is on the disk.
  /// - Throws: `ImagesError` with `io`.
  public func settle(syncs: Bool) throws(ImagesError) {
    if syncs { try sync() }
    let result = sluice_flush(descriptor)
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
      case "ENOSPC": ": the disk is full; free some space there or choose another directory"
      case "EDQUOT": ": the quota is used up; free some space there or choose another directory"
      case "EFBIG": ": the file is too big; raise the limit on file sizes (ulimit -f)"
      default: ""
      }
    return ImagesError(.io, "writing \(path)\(advice)", errno: errno)
  }
}
