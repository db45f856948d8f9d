internal import CSluiceLinux

/// How long a stage waited for another, and how much work that held up.
public struct StageWait: Hashable, Sendable {
  /// Nanoseconds.
  public private(set) var nanoseconds: UInt64 = 0
  /// The bytes that had to wait.
  public private(set) var bytes: UInt64 = 0

  /// None yet.
  public init() {}

  /// Adds a wait that began at `start`, in nanoseconds of the monotonic clock, and ends now.
  /// What took less than a microsecond did not wait.
  public mutating func add(since start: UInt64, bytes count: Int) {
    let waited = sluice_monotonic_nanoseconds() - start
    guard waited >= 1000 else { return }
    nanoseconds += waited
    bytes += UInt64(count)
  }

  /// Adds what another of the same kind has waited.
  public static func += (total: inout StageWait, other: StageWait) {
    total.nanoseconds += other.nanoseconds
    total.bytes += other.bytes
  }
}
