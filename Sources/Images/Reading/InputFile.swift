internal import CSluiceLinux
internal import SluiceSystem

/// A file that is being read, closed when its owner lets go of it.
struct InputFile: ~Copyable {
  private let file: OpenFile
  private let path: String

  /// - Returns: nil when there is no such file.
  /// - Throws: `ImagesError` with `io`, or `malformed` for what is no regular file.
  init?(
    opening name: String, in directory: borrowing ImagesDirectory, path: String
  ) throws(ImagesError) {
    guard let file = try directory.openFile(name) else { return nil }
    self.file = file
    self.path = path
  }

  /// The file's length in bytes.
  ///
  /// - Throws: `ImagesError` with `io`.
  func byteCount() throws(ImagesError) -> UInt64 {
    let size = sluice_file_size(file.descriptor.number)
    guard size >= 0 else { throw ImagesError(.io, "looking at \(path)", errno: SystemErrno(returned: size)) }
    return UInt64(size)
  }

  /// Where the next bytes are that are in no hole; nil where only a hole follows, or nothing.
  ///
  /// - Throws: `ImagesError` with `io`.
  func nextData(from offset: UInt64) throws(ImagesError) -> UInt64? {
    let data = sluice_next_data(file.descriptor.number, offset)
    guard data < 0 else { return UInt64(data) }
    let errno = SystemErrno(returned: data)
    guard errno.name == "ENXIO" else { throw ImagesError(.io, "reading \(path)", errno: errno) }
    return nil
  }

  /// Reads as many bytes as there are, and as there is room for.
  ///
  /// - Returns: how many bytes; 0 at the end.
  /// - Throws: `ImagesError` with `io`.
  func read<Word: FixedWidthInteger & BitwiseCopyable>(
    at offset: UInt64, into words: inout [Word]
  ) throws(ImagesError) -> Int {
    let byteCount = words.count * MemoryLayout<Word>.stride
    var done = 0
    while done < byteCount {
      let count = unsafe words.withUnsafeMutableBytes {
        unsafe sluice_pread(
          file.descriptor.number, $0.baseAddress! + done, $0.count - done, offset + UInt64(done))
      }
      guard count >= 0 else { throw ImagesError(.io, "reading \(path)", errno: SystemErrno(returned: count)) }
      if count == 0 { break }
      done += count
    }
    return done
  }
}
