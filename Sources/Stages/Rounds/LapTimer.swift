internal import CSluiceLinux

/// The time between two moments.
struct LapTimer {
  private var last: UInt64

  /// Begins now.
  init() { last = sluice_monotonic_nanoseconds() }

  /// Begins at a moment of the past, in nanoseconds of the monotonic clock.
  init(since moment: UInt64) { last = moment }

  /// Nanoseconds since the last call, or since this was made.
  mutating func next() -> UInt64 {
    let now = sluice_monotonic_nanoseconds()
    defer { last = now }
    return now - last
  }
}
