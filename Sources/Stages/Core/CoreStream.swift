/// Writes a finished core to where nobody can seek, such as a pipe: one byte after the other, its holes as zeros.
enum CoreStream {
  private static let pieceBytes: UInt64 = 1 << 20

  /// - Throws: `SluiceError` with `io`, or `cancelled`.
  static func write(
    _ file: borrowing PlainFile, byteCount: UInt64, to stream: borrowing PlainFile
  ) throws(SluiceError) {
    var piece = [UInt8](repeating: 0, count: Int(pieceBytes))
    let zeros = piece
    var position: UInt64 = 0
    while position < byteCount {
      guard !Task.isCancelled else { throw .cancelled }
      let data = try file.data(from: position)
      let start = min(data?.lowerBound ?? byteCount, byteCount)
      guard start <= position else {
        let count = min(start - position, pieceBytes)
        try stream.write(zeros, 0..<Int(count))
        position += count
        continue
      }
      let wanted = Int(min(byteCount - position, pieceBytes))
      let got = try file.read(at: position, into: &piece, count: wanted)
      guard got == wanted else {
        throw SluiceError(.io, "reading \(file.name): the file became shorter in the meantime")
      }
      try stream.write(piece, 0..<got)
      position += UInt64(got)
    }
  }
}
