/// A frame of zstd's whose content is nothing but zeros, put together by hand: what a hole of a sparse file becomes.
///
/// Of the format's description (RFC 8878): a block that repeats one byte takes four bytes, and cannot be for more than
/// 128 KiB. So a hole becomes 1/32768 of its length, and a hole of 1 TiB 32 MiB: there is no shorter way that every program
/// for zstd understands. The first block is not one of those, but a byte that stands for itself: the command `zstd` up to 1.4.3
/// refuses such a first block.
enum HoleFrame {
  /// Frames of more than that are not made: readers of the seekable format count on it.
  static let mostBytes = 1 << 30

  private static let magic: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd]
  /// The length of the content takes 4 bytes; there is a window; no checksum, no dictionary.
  private static let descriptor: UInt8 = 0x80
  /// A window of 128 KiB, which is the longest block, too.
  private static let window: UInt8 = 7 << 3
  private static let blockBytes = 128 << 10
  private static let headBytes = 10
  private static let rawBlock = 0
  private static let repeatingBlock = 1

  /// The length of the frame of so many zeros; 1 to `mostBytes`.
  static func byteCount(of count: Int) -> Int {
    headBytes + 4 + 4 * ((count - 1 + blockBytes - 1) / blockBytes)
  }

  /// The frame of so many zeros; 1 to `mostBytes`.
  static func make(of count: Int) -> [UInt8] {
    precondition((1...mostBytes).contains(count), "a hole is cut into frames")
    var frame = magic + [descriptor, window]
    frame.reserveCapacity(byteCount(of: count))
    for shift in stride(from: 0, to: 32, by: 8) { frame.append(UInt8(truncatingIfNeeded: count >> shift)) }
    add(block: rawBlock, of: 1, isLast: count == 1, to: &frame)
    var left = count - 1
    while left > 0 {
      let bytes = min(left, blockBytes)
      left -= bytes
      add(block: repeatingBlock, of: bytes, isLast: left == 0, to: &frame)
    }
    return frame
  }

  /// A block's three bytes, and the byte that it is of.
  private static func add(block kind: Int, of count: Int, isLast: Bool, to frame: inout [UInt8]) {
    let head = (isLast ? 1 : 0) | kind << 1 | count << 3
    for shift in stride(from: 0, to: 24, by: 8) { frame.append(UInt8(truncatingIfNeeded: head >> shift)) }
    frame.append(0)
  }
}
