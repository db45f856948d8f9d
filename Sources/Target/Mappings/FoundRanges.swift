/// Ranges of memory that were found from low addresses to high ones, neighbours joined.
struct FoundRanges {
  private(set) var ranges: [Range<UInt64>] = []

  /// More ranges than these are not told apart: neighbours are joined over their gaps.
  private static let most = 16 << 10

  /// Adds a range that begins no lower than the one before ends.
  mutating func append(_ range: Range<UInt64>) {
    if let last = ranges.indices.last,
      ranges.count >= Self.most || ranges[last].upperBound >= range.lowerBound
    {
      ranges[last] = ranges[last].lowerBound..<range.upperBound
    } else {
      ranges.append(range)
    }
  }
}
