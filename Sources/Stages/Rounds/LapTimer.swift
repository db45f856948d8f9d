internal import CSluiceLinux

/// The time between two moments.
struct LapTimer {
  private var last = sluice_monotonic_nanoseconds()

  /// Nanoseconds since the last call, or since this was made.
  mutating func next() -> UInt64 {
    let now = sluice_monotonic_nanoseconds()
    defer { last = now }
    return now - last
  }
}
