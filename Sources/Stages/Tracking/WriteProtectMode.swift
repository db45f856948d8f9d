internal import CSluiceLinux
internal import SluiceTarget

/// How the walk of a round finds out what was written.
struct WriteProtectMode: Sendable {
  /// Whether it protects the pages for the next round.
  var protects = true
  /// Whether the soft-dirty bits were cleared just before.
  var seesSoftDirty: Bool
  /// Whether it is known otherwise what was written until now: the pages are protected for the first time.
  var isFirst = false
  /// The memory for the pages that the next round is to copy as well, in bytes.
  var unsettledBytes: Int
  /// When this began, in nanoseconds of the monotonic clock.
  private let began = sluice_monotonic_nanoseconds()

  /// How long a write by a device may take that was begun before: a read from a disk.
  private static let deviceWriteNanoseconds: UInt64 = 200_000_000

  init(protects: Bool = true, seesSoftDirty: Bool, isFirst: Bool = false, unsettledBytes: Int) {
    self.protects = protects
    self.seesSoftDirty = seesSoftDirty
    self.isFirst = isFirst
    self.unsettledBytes = unsettledBytes
  }

  /// How the walk looks at the memory of a process.
  var walk: WalkMode { .round(protects: protects, seesSoftDirty: seesSoftDirty, isFirst: isFirst) }

  /// Gives devices the time to end writes into huge pages that were begun before the soft-dirty bits were cleared: CRIU
  /// would take such a page for clean. What is read after that has them.
  ///
  /// - Throws: `SluiceError` with `cancelled`.
  func waitForDevices() async throws(SluiceError) {
    guard seesSoftDirty, protects else { return }
    try await Self.waitForDevices(since: began)
  }

  /// Gives devices the time to end writes that were begun before a moment, in nanoseconds of the monotonic clock.
  ///
  /// - Throws: `SluiceError` with `cancelled`.
  static func waitForDevices(since moment: UInt64) async throws(SluiceError) {
    let left = timeLeft(since: moment, now: sluice_monotonic_nanoseconds())
    guard left > 0 else { return }
    do { try await Task.sleep(for: .nanoseconds(left)) } catch { throw .cancelled }
  }

  /// How long devices may still take to end writes that were begun before a moment; all in nanoseconds.
  static func timeLeft(since moment: UInt64, now: UInt64) -> UInt64 {
    let end = moment + deviceWriteNanoseconds
    return end > now ? end - now : 0
  }
}
