/// Pages that a scan came across and that are not simply there.
public struct PageTally: Hashable, Sendable {
  /// Pages in swap.
  public internal(set) var swapped: UInt64 = 0
  /// Pages that were left out because they are in swap.
  public internal(set) var skippedSwapped: UInt64 = 0
  /// Pages that were left out because they were only read so far, and are zeros: they are all one page.
  public internal(set) var skippedZero: UInt64 = 0
  /// Pages that were left out because touching them is an error (MADV_GUARD_INSTALL). Linux tells since 6.15.
  public internal(set) var skippedGuard: UInt64 = 0

  /// Nothing so far.
  public init() {}

  /// Adds what another scan came across.
  public static func += (total: inout PageTally, other: PageTally) {
    total.swapped += other.swapped
    total.skippedSwapped += other.skippedSwapped
    total.skippedZero += other.skippedZero
    total.skippedGuard += other.skippedGuard
  }

  /// What came on top of an earlier state of the same.
  public static func - (total: PageTally, earlier: PageTally) -> PageTally {
    var rest = total
    rest.swapped -= earlier.swapped
    rest.skippedSwapped -= earlier.skippedSwapped
    rest.skippedZero -= earlier.skippedZero
    rest.skippedGuard -= earlier.skippedGuard
    return rest
  }
}
