internal import CSluiceLinux

/// A file that is being read, closed when its owner lets go of it.
struct InputFile: ~Copyable {
  private let descriptor: Int32
  private let path: String

  /// - Returns: nil when there is no such file.
  /// - Throws: `ImagesError` with `io`.
  init?(
    opening name: String, in directory: borrowing ImagesDirectory, path: String
  ) throws(ImagesError) {
    let result = unsafe sluice_open_at(directory.descriptor, name, SLUICE_OPEN_READ)
    if result < 0 {
      let errno = SystemErrno(returned: result)
      if errno.name == "ENOENT" { return nil }
      throw ImagesError(.io, "opening \(path)", errno: errno)
    }
    descriptor = result
    self.path = path
  }

  deinit {
    _ = sluice_close(descriptor)
  }

  /// The file's length in bytes.
  ///
  /// - Throws: `ImagesError` with `io`.
  func byteCount() throws(ImagesError) -> UInt64 {
    let size = sluice_file_size(descriptor)
    guard size >= 0 else { throw ImagesError(.io, "looking at \(path)", errno: SystemErrno(returned: size)) }
    return UInt64(size)
  }

  /// Where the next bytes are that are in no hole; nil where only a hole follows, or nothing.
  ///
  /// - Throws: `ImagesError` with `io`.
  func nextData(from offset: UInt64) throws(ImagesError) -> UInt64? {
    let data = sluice_next_data(descriptor, offset)
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
        unsafe sluice_pread(descriptor, $0.baseAddress! + done, $0.count - done, offset + UInt64(done))
      }
      guard count >= 0 else { throw ImagesError(.io, "reading \(path)", errno: SystemErrno(returned: count)) }
      if count == 0 { break }
      done += count
    }
    return done
  }
}
