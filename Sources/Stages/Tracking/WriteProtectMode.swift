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
  /// Whose memory it is; nil where nobody is asked whether devices still write into it.
  private let tree: ProcessTree?
  /// Whether what devices had begun to write before this began has ended.
  private var haveDevicesEnded = false

  /// How long a write by a device may take that was begun before: a read from a disk.
  private static let deviceWriteNanoseconds: UInt64 = 200_000_000

  init(
    of tree: ProcessTree? = nil, protects: Bool = true, seesSoftDirty: Bool, isFirst: Bool = false,
    unsettledBytes: Int
  ) {
    self.tree = tree
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
  /// - Throws: `SluiceError` with `cancelled`, or when the kernel does not tell.
  mutating func waitForDevices() async throws(SluiceError) {
    guard seesSoftDirty, protects, !haveDevicesEnded else { return }
    try await Self.waitForDevices(of: tree, since: began)
    haveDevicesEnded = true
  }

  /// So long it takes at least: another process that writes to the memory (process_vm_writev) has the page for as long as
  /// it copies, and nothing tells of it.
  private static let leastNanoseconds: UInt64 = 3_000_000
  private static let longestLookNanoseconds: UInt64 = 20_000_000

  /// Gives devices the time to end writes that were begun before a moment, in nanoseconds of the monotonic clock: as long
  /// as it takes until it is certain that they have, or as long as one may take.
  ///
  /// - Parameter tree: whose memory they write into; nil where nobody is asked whether they have ended.
  /// - Throws: `SluiceError` with `cancelled`, or when the kernel does not tell.
  static func waitForDevices(of tree: ProcessTree?, since moment: UInt64) async throws(SluiceError) {
    var pause = leastNanoseconds
    var writes: EndedDeviceWrites?
    while true {
      let now = sluice_monotonic_nanoseconds()
      let left = timeLeft(since: moment, now: now)
      guard left > 0 else { return }
      let verdict: EndedDeviceWrites.Verdict
      do throws(TargetError) {
        if writes == nil, let tree { writes = try EndedDeviceWrites(in: tree) }
        verdict = try writes?.look() ?? .cannotBeKnown
      } catch {
        throw SluiceError(error)
      }
      if verdict == .haveEnded, now - moment >= leastNanoseconds { return }
      let step = verdict == .cannotBeKnown ? left : min(pause, left)
      do { try await Task.sleep(for: .nanoseconds(step)) } catch { throw .cancelled }
      pause = min(2 * pause, longestLookNanoseconds)
    }
  }

  /// How long devices may still take to end writes that were begun before a moment; all in nanoseconds.
  static func timeLeft(since moment: UInt64, now: UInt64) -> UInt64 {
    let end = moment + deviceWriteNanoseconds
    return end > now ? end - now : 0
  }
}
