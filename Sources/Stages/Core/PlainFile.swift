internal import CSluiceLinux
internal import Glibc
internal import SluiceSystem

/// A file, a pipe or a device that somebody else has opened, and its name in messages.
///
/// It has a descriptor of its own: who waits for a disk that does not answer may be left behind, and must not come back to a
/// descriptor that is another file's by then.
struct PlainFile: ~Copyable, Sendable {
  private let file: Descriptor
  let name: String
  let status: FileStatus

  /// - Throws: `SluiceError` with `io`.
  init(duplicating descriptor: Int32, name: String) throws(SluiceError) {
    let number = sluice_duplicate(descriptor)
    guard number >= 0 else {
      let errno = SystemErrno(returned: number)
      throw SluiceError(.io, "opening \(name): \(errno.reason)", errno: errno)
    }
    let file = Descriptor(owning: number)
    let status: FileStatus
    do throws(SystemError) { status = try file.status(path: name) } catch { throw SluiceError(error, .io) }
    self.init(file, name: name, status: status)
  }

  private init(_ file: consuming Descriptor, name: String, status: FileStatus) {
    self.file = file
    self.name = name
    self.status = status
  }

  /// Whether it has a length, and can be read and written anywhere.
  var isRegular: Bool { status.kind == .file }

  /// The next data from an offset on; nil where there is only a hole.
  ///
  /// - Throws: `SluiceError` with `io`.
  func data(from offset: UInt64) throws(SluiceError) -> Range<UInt64>? {
    let start = sluice_next_data(file.number, offset)
    if start < 0, SystemErrno(returned: start).name == "ENXIO" { return nil }
    let end = start < 0 ? start : sluice_next_hole(file.number, UInt64(start))
    guard end >= 0 else { throw failure("reading", end) }
    return UInt64(start)..<UInt64(max(start, end))
  }

  /// Reads bytes from an offset on until there is no more room or no more bytes.
  ///
  /// - Returns: how many.
  /// - Throws: `SluiceError` with `io`.
  func read(at offset: UInt64, into bytes: inout [UInt8], count: Int? = nil) throws(SluiceError) -> Int {
    let count = count ?? bytes.count
    var done = 0
    while done < count {
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe sluice_pread(file.number, $0.baseAddress! + done, count - done, offset + UInt64(done))
      }
      guard got >= 0 else { throw failure("reading", got) }
      if got == 0 { break }
      done += got
    }
    return done
  }

  /// Reads what comes next, as much as there is room for.
  ///
  /// - Returns: how many bytes; 0 at the end.
  /// - Throws: `SluiceError` with `io`.
  func read(into bytes: inout [UInt8]) throws(SluiceError) -> Int {
    let got = unsafe bytes.withUnsafeMutableBytes {
      unsafe sluice_read(file.number, $0.baseAddress, $0.count)
    }
    guard got >= 0 else { throw failure("reading", got) }
    return got
  }

  /// Writes all bytes of a range after what was written before.
  ///
  /// - Throws: `SluiceError` with `io`.
  func write(_ bytes: [UInt8], _ range: Range<Int>) throws(SluiceError) {
    try unsafe write(bytes, range) { bytes, _ in
      unsafe sluice_write(file.number, bytes.baseAddress, bytes.count)
    }
  }

  /// Writes all bytes of a range at an offset.
  ///
  /// - Throws: `SluiceError` with `io`.
  func write(_ bytes: [UInt8], _ range: Range<Int>, at offset: UInt64) throws(SluiceError) {
    try unsafe write(bytes, range) { bytes, done in
      unsafe sluice_pwrite(file.number, bytes.baseAddress, bytes.count, offset + UInt64(done))
    }
  }

  private func write(
    _ bytes: [UInt8], _ range: Range<Int>, by call: (UnsafeRawBufferPointer, Int) -> Int
  ) throws(SluiceError) {
    var done = 0
    while done < range.count {
      let written = unsafe bytes.withUnsafeBytes {
        unsafe call(UnsafeRawBufferPointer(rebasing: $0[range.lowerBound + done..<range.upperBound]), done)
      }
      guard written > 0 else { throw failure("writing", written < 0 ? written : -Int(EIO)) }
      done += written
    }
  }

  /// What must match to be a hole of the filesystem's: smaller ones save nothing.
  private static let blockBytes = 4096

  /// Writes bytes at an offset of a file that has holes there, but for blocks of zeros.
  ///
  /// - Returns: how many bytes were written.
  /// - Throws: `SluiceError` with `io`.
  func writeData(_ bytes: [UInt8], count: Int, at offset: UInt64) throws(SluiceError) -> Int {
    var written = 0
    var position = 0
    var start: Int?
    while position <= count {
      let end = min(position + Self.blockBytes, count)
      if position < count, !Self.isZero(bytes, position..<end) {
        start = start ?? position
      } else if let first = start {
        try write(bytes, first..<position, at: offset + UInt64(first))
        written += position - first
        start = nil
      }
      if position == count { break }
      position = end
    }
    return written
  }

  private static func isZero(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    unsafe bytes.withUnsafeBytes { bytes in
      let words = range.count / 8
      for word in 0..<words
      where unsafe bytes.loadUnaligned(fromByteOffset: range.lowerBound + 8 * word, as: UInt64.self) != 0 {
        return false
      }
      return unsafe bytes[(range.lowerBound + 8 * words)..<range.upperBound].allSatisfy { $0 == 0 }
    }
  }

  /// Gives the file exactly this size.
  ///
  /// - Throws: `SluiceError` with `io`.
  func setSize(_ byteCount: UInt64) throws(SluiceError) {
    let result = sluice_set_file_size(file.number, byteCount)
    guard result == 0 else { throw failure("making \(byteCount) bytes of", Int(result)) }
  }

  private func failure(_ doing: String, _ result: some SignedInteger) -> SluiceError {
    let errno = SystemErrno(returned: result)
    return SluiceError(.io, "\(doing) \(name): \(errno.reason)", errno: errno)
  }
}
