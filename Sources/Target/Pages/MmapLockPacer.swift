internal import CSluiceLinux

/// Lets threads of the process have their turn at its mmap_lock, between our system calls that hold it for reading.
///
/// A thread that maps memory sleeps until it gets the lock, and one who reads may take it again before that thread is
/// awake: for up to 4 ms, when the kernel hands it over by force (kernel/locking/rwsem.c, RWSEM_WAIT_TIMEOUT). Measured
/// with hundreds of short holds in close sequence: single waits of 3 to 8 ms. So there is a gap after each millisecond
/// of those.
public struct MmapLockPacer: Sendable {
  /// How long the lock is held again and again before it is left for a while.
  private static let turnNanoseconds: UInt64 = 1_000_000
  /// Enough for a thread to wake up; and whoever leaves the lock alone for so long by himself need not be told to.
  private static let gapMicroseconds: UInt32 = 50

  /// Whether there is anybody who could wait for the lock.
  private let isNeeded: Bool
  private var heldNanoseconds: UInt64 = 0
  private var lastEnd: UInt64 = 0

  /// Nothing was held yet.
  public init() { self.init(standsStill: false) }

  /// - Parameter standsStill: whether the process is stopped, so that nobody waits for the lock.
  init(standsStill: Bool) { isNeeded = !standsStill }

  /// To be called after a system call that held the lock, once or many times.
  ///
  /// - Parameter began: when it began, in nanoseconds of the monotonic clock.
  mutating func held(since began: UInt64) {
    guard isNeeded, isOver(afterHolding: began..<sluice_monotonic_nanoseconds()) else { return }
    sluice_leave_lock(Self.gapMicroseconds)
  }

  /// The same without the gap.
  ///
  /// - Returns: whether there must be one now.
  mutating func isOver(afterHolding held: Range<UInt64>) -> Bool {
    if held.lowerBound - lastEnd > UInt64(Self.gapMicroseconds) * 1000 { heldNanoseconds = 0 }
    heldNanoseconds += held.upperBound - held.lowerBound
    lastEnd = held.upperBound
    guard heldNanoseconds >= Self.turnNanoseconds else { return false }
    heldNanoseconds = 0
    return true
  }
}
