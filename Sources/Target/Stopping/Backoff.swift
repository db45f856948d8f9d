internal import CSluiceLinux
import Glibc

/// Waits in steps that grow, for what the kernel gives no other way to wait for with a limit: other threads get the
/// processor at once, and after a tenth of a millisecond this one sleeps.
struct Backoff {
  private static let quickNanoseconds: UInt64 = 100_000
  private static let longestMicroseconds: UInt32 = 1000

  private let began = sluice_monotonic_nanoseconds()
  private var microseconds: UInt32 = 20

  /// Whether what is waited for takes longer than it does as a rule.
  private(set) var isLong = false

  mutating func wait() {
    guard sluice_monotonic_nanoseconds() - began > Self.quickNanoseconds else {
      sched_yield()
      return
    }
    usleep(microseconds)
    isLong = microseconds == Self.longestMicroseconds
    microseconds = min(2 * microseconds, Self.longestMicroseconds)
  }
}
