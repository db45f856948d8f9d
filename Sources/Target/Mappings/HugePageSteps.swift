extension Range<UInt64> {
  private static var hugePageBytes: UInt64 { 2 << 20 }

  /// The end of a step of at most so many bytes through these addresses; not within a huge page, where that can be: the
  /// kernel splits a huge page when it protects some of it, or lifts the protection of some.
  func stepEnd(_ byteCount: UInt64) -> UInt64 {
    guard upperBound - lowerBound > byteCount else { return upperBound }
    let end = lowerBound + byteCount
    return end - end % Self.hugePageBytes
  }
}
