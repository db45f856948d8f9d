/// How much may pass in a time: so many bytes a second on average, and no more than a twentieth of a second's worth at once.
///
/// A piece that is larger than that passes whole, and what follows waits for it.
public struct TokenBucket: Hashable, Sendable {
  /// Bytes a second; nil for no limit.
  public private(set) var rate: UInt64?
  /// How many bytes may pass at once; less than 0 where more have passed than might.
  private var level: Double
  private var filledAt: UInt64

  /// The time whose worth may pass at once, in seconds.
  private static let burst = 0.05

  /// A bucket from which nothing has passed yet.
  ///
  /// - Parameters:
  ///   - rate: bytes a second, 1 at least; nil for no limit.
  ///   - now: in nanoseconds of a clock that never goes back.
  public init(rate: UInt64?, now: UInt64) {
    self.rate = rate.map { max(1, $0) }
    level = 0
    filledAt = now
  }

  /// From now on another rate holds. What has passed before that counts as it did.
  public mutating func set(rate: UInt64?, now: UInt64) {
    fill(now)
    let old = self.rate
    self.rate = rate.map { max(1, $0) }
    // What is owed takes as many seconds as it would have.
    if let old, let new = self.rate, level < 0 { level *= Double(new) / Double(old) }
    level = min(level, Double(self.rate ?? 0) * Self.burst)
    if self.rate == nil { level = 0 }
  }

  /// Lets bytes pass.
  ///
  /// - Returns: the nanoseconds to wait before the next bytes may.
  public mutating func pass(_ byteCount: Int, now: UInt64) -> UInt64 {
    guard rate != nil else { return 0 }
    fill(now)
    level -= Double(byteCount)
    return wait(now: now)
  }

  /// The nanoseconds to wait before the next bytes may pass; 0 where they may.
  public mutating func wait(now: UInt64) -> UInt64 {
    guard let rate else { return 0 }
    fill(now)
    return level >= 0 ? 0 : UInt64((-level / Double(rate) * 1e9).rounded(.up))
  }

  private mutating func fill(_ now: UInt64) {
    guard let rate, now > filledAt else { return }
    level = min(level + Double(now - filledAt) / 1e9 * Double(rate), Double(rate) * Self.burst)
    filledAt = now
  }
}
