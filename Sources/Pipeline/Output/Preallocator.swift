/// Decides how much of a file's space is allocated before it is written.
///
/// A direct write that extends its file cannot be started without waiting: the kernel hands it to a thread
/// of its own, which costs about half as much CPU again (measured with fio on ext4: 0.087 against 0.056 s
/// per GiB). Into space that is there already, it can.
public struct Preallocator: Hashable, Sendable {
  /// So much is allocated at once: allocating waits until nothing is in flight, which must be rare.
  private static let largestStep: UInt64 = 1 << 30

  /// The end of what is allocated.
  public private(set) var end: UInt64 = 0
  private let expected: UInt64
  private var isGivenUp = false

  /// - Parameter expected: how long the file will be, as far as can be told, in bytes.
  public init(expecting expected: UInt64) {
    self.expected = expected
  }

  /// The space to be allocated before the file is written up to `offset`; nil when there is enough, or no more
  /// is to be had.
  public func range(toReach offset: UInt64) -> Range<UInt64>? {
    guard !isGivenUp, offset > end else { return nil }
    return end..<max(offset, min(expected, end + Self.largestStep))
  }

  /// The range was allocated.
  public mutating func allocated(_ range: Range<UInt64>) {
    end = range.upperBound
  }

  /// No more is allocated: the disk has no room for it, or the file is to have holes.
  public mutating func giveUp() {
    isGivenUp = true
  }
}
