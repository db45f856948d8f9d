internal import CSluiceLinux

/// How long things took, in a memory that does not grow with their number: four steps for each doubling, so that a duration
/// is known to an eighth of itself. The sum and the number are exact.
public struct DurationHistogram: Hashable, Sendable {
  /// A step in which there is anything.
  public struct Step: Hashable, Sendable {
    /// The durations that fall into it, from the least on, in nanoseconds.
    public let nanoseconds: Range<UInt64>
    /// How many did.
    public let count: UInt64
  }

  /// From 4 ns up to the highest of 64 bits; what is shorter counts as 4.
  private static let stepCount = 4 * 62
  private var counts = [UInt64](repeating: 0, count: stepCount)
  /// How many there are.
  public private(set) var count: UInt64 = 0
  /// All together.
  public var total: Duration { .nanoseconds(counted: totalNanoseconds) }
  private var totalNanoseconds: UInt64 = 0
  /// The bytes that were dealt with in that time; 0 where that means nothing.
  public private(set) var byteCount: UInt64 = 0

  /// None.
  public init() {}

  /// So many.
  public init(_ durations: some Sequence<Duration>) {
    for duration in durations {
      let (seconds, attoseconds) = duration.components
      add(
        nanoseconds: UInt64(clamping: seconds) &* 1_000_000_000
          &+ UInt64(clamping: attoseconds / 1_000_000_000))
    }
  }

  /// The steps that there is anything in, from short to long.
  public var steps: [Step] {
    counts.indices.compactMap { index in
      counts[index] == 0 ? nil : Step(nanoseconds: Self.range(of: index), count: counts[index])
    }
  }

  /// - Parameter bytes: that were dealt with in that time.
  mutating func add(nanoseconds: UInt64, bytes: Int = 0) {
    counts[Self.index(of: nanoseconds)] &+= 1
    count &+= 1
    totalNanoseconds &+= nanoseconds
    byteCount &+= UInt64(bytes)
  }

  /// Adds what began at `start`, in nanoseconds of the monotonic clock, and ends now.
  mutating func add(since start: UInt64, bytes: Int) {
    add(nanoseconds: sluice_monotonic_nanoseconds() - start, bytes: bytes)
  }

  /// Adds those of another.
  public static func += (histogram: inout DurationHistogram, other: DurationHistogram) {
    for index in histogram.counts.indices { histogram.counts[index] &+= other.counts[index] }
    histogram.count &+= other.count
    histogram.totalNanoseconds &+= other.totalNanoseconds
    histogram.byteCount &+= other.byteCount
  }

  private static func index(of nanoseconds: UInt64) -> Int {
    let value = max(nanoseconds, 4)
    let shift = 61 - value.leadingZeroBitCount
    return 4 * shift + Int(value >> shift) - 4
  }

  private static func range(of index: Int) -> Range<UInt64> {
    let (shift, start) = (index / 4, UInt64(4 + index % 4))
    // The last one ends with the numbers themselves.
    let end = index == stepCount - 1 ? UInt64.max : (start + 1) << shift
    return start << shift..<end
  }
}

extension DurationHistogram.Step {
  /// In the middle of the step: no duration in it is further from that than an eighth.
  public var middle: Duration {
    .nanoseconds(counted: nanoseconds.lowerBound + (nanoseconds.upperBound - nanoseconds.lowerBound) / 2)
  }
}

extension DurationHistogram? {
  /// Adds those of another, if there are any.
  mutating func add(_ other: DurationHistogram?) {
    guard let other else { return }
    self = (self ?? DurationHistogram())
    self? += other
  }
}
