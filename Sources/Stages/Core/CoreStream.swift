internal import CSluiceLinux
internal import Glibc
internal import SluiceImages
internal import SluiceSystem

/// Writes a finished core to where nobody can seek, such as a pipe: one byte after the other, its holes as zeros.
enum CoreStream {
  private static let pieceBytes = 1 << 20

  /// - Throws: `SluiceError` with `io`, or `cancelled`.
  static func write(
    _ file: OutputFile, byteCount: UInt64, to stream: Int32, called name: String
  ) throws(SluiceError) {
    var piece = [UInt8](repeating: 0, count: pieceBytes)
    let zeros = piece
    var position: UInt64 = 0
    while position < byteCount {
      guard !Task.isCancelled else { throw .cancelled }
      let data = sluice_next_data(file.descriptor, position)
      guard data >= 0 || data == -Int64(ENXIO) else { throw failure("reading \(file.path)", Int(data)) }
      let hole = data < 0 ? byteCount : min(UInt64(data), byteCount)
      if hole > position {
        let count = min(Int(hole - position), pieceBytes)
        try write(zeros, count, to: stream, called: name)
        position += UInt64(count)
        continue
      }
      let wanted = min(Int(byteCount - position), pieceBytes)
      let offset = position
      let got = unsafe piece.withUnsafeMutableBytes {
        unsafe sluice_pread(file.descriptor, $0.baseAddress, wanted, offset)
      }
      guard got > 0 else { throw failure("reading \(file.path)", got < 0 ? got : -Int(EIO)) }
      try write(piece, got, to: stream, called: name)
      position += UInt64(got)
    }
  }

  private static func write(
    _ bytes: [UInt8], _ count: Int, to stream: Int32, called name: String
  ) throws(SluiceError) {
    var done = 0
    while done < count {
      let (first, rest) = (done, count - done)
      let written = unsafe bytes.withUnsafeBytes {
        unsafe sluice_write(stream, $0.baseAddress! + first, rest)
      }
      guard written > 0 else {
        throw failure("writing the core to \(name)", written < 0 ? written : -Int(EIO))
      }
      done += written
    }
  }

  private static func failure(_ doing: String, _ result: Int) -> SluiceError {
    let errno = SystemErrno(returned: result)
    return SluiceError(.io, "\(doing): \(errno.reason)", errno: errno)
  }
}
