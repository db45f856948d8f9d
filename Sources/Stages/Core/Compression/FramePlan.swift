/// Cuts a sparse file into what becomes a frame each: pieces of its data, and holes.
struct FramePlan {
  enum Frame: Hashable {
    /// These bytes.
    case data(Range<UInt64>)
    /// So many zeros.
    case hole(Int)

    /// The length of its content.
    var byteCount: Int {
      switch self {
      case .data(let range): Int(range.upperBound - range.lowerBound)
      case .hole(let count): count
      }
    }
  }

  /// Smaller holes are compressed with the data around them, which costs next to nothing.
  static let leastHole: UInt64 = 1 << 20

  /// The file's length.
  let byteCount: UInt64
  /// The longest piece of data.
  let frameBytes: Int
  private var position: UInt64 = 0
  /// Data that was found last; what is before it has been passed, or is a hole.
  private var data: Range<UInt64>?

  init(byteCount: UInt64, frameBytes: Int) {
    self.byteCount = byteCount
    self.frameBytes = frameBytes
  }

  /// The next piece, in order; nil at the end.
  ///
  /// - Parameter find: finds the next data of the file from an offset on; nil where there is only a hole.
  mutating func next<Failure>(
    _ find: (UInt64) throws(Failure) -> Range<UInt64>?
  ) throws(Failure) -> Frame? {
    guard position < byteCount else { return nil }
    let hole = try nextData(from: position, find).lowerBound
    if hole > position, hole - position >= Self.leastHole || hole == byteCount {
      let count = min(Int(clamping: hole - position), HoleFrame.mostBytes)
      position += UInt64(count)
      return .hole(count)
    }
    let most = position + min(UInt64(frameBytes), byteCount - position)
    var end = position
    while end < most {
      let found = try nextData(from: end, find)
      // What is left of a hole at the file's end is a frame of its own, however small.
      if found.lowerBound > end, found.lowerBound - end >= Self.leastHole || found.lowerBound == byteCount {
        break
      }
      end = min(found.upperBound, most)
    }
    defer { position = end }
    return .data(position..<end)
  }

  /// Data that begins at an offset or behind it; behind the file where there is none.
  private mutating func nextData<Failure>(
    from offset: UInt64, _ find: (UInt64) throws(Failure) -> Range<UInt64>?
  ) throws(Failure) -> Range<UInt64> {
    if let data, offset < data.upperBound { return max(offset, data.lowerBound)..<data.upperBound }
    var found = byteCount..<byteCount + 1
    if let data = try find(offset), data.lowerBound < byteCount, offset < data.upperBound {
      found = max(offset, data.lowerBound)..<min(byteCount, data.upperBound)
    }
    data = found
    return found
  }
}
