internal import Logging
internal import SluiceTarget

/// What there is in processes that keeps the soft-dirty bits from telling all that is written: later rounds must find it
/// out otherwise, and CRIU's final dump, which has nothing else, must take every page.
struct SoftDirtyDoubts: Hashable, Sendable {
  /// Processes whose pages the kernel merges.
  private(set) var merged: Set<Int32> = []
  /// Processes that clear the bits themselves, or may: they rely on nobody else doing so.
  private(set) var users: Set<SoftDirtyUsers.User> = []
  /// Processes that another run of Sluice copies: that one may clear the bits at any time.
  private(set) var claimed: Set<Int32> = []

  /// These.
  init(merged: Set<Int32> = [], users: Set<SoftDirtyUsers.User> = []) {
    (self.merged, self.users) = (merged, users)
  }

  /// Looks at these processes. Of one that has ended there is no doubt.
  ///
  /// - Throws: `SluiceError` when the kernel does not tell.
  init(about processes: [TargetProcess]) throws(SluiceError) {
    try lookForMerged(among: processes)
    users = Set(try onTarget { () throws(TargetError) in try SoftDirtyUsers(among: processes).users })
  }

  var isEmpty: Bool { merged.isEmpty && users.isEmpty && claimed.isEmpty }

  /// Looks once more whether pages are merged, which the kernel may have begun with only now.
  ///
  /// - Throws: `SluiceError` when the kernel does not tell.
  mutating func lookForMerged(among processes: [TargetProcess]) throws(SluiceError) {
    for process in processes {
      do throws(TargetError) {
        if try MergedMemory.isPossible(in: process) { merged.insert(process.pid) }
      } catch {
        guard error.code == .gone else { throw SluiceError(error) }
      }
    }
  }

  /// Claims the bits of these processes for this run, and takes note of those that another run has.
  ///
  /// - Throws: `SluiceError` when that cannot be tried.
  mutating func claim(_ processes: [TargetProcess], for run: SoftDirtyClaims) throws(SluiceError) {
    claimed.formUnion(try onTarget { () throws(TargetError) in try run.take(processes) })
  }

  mutating func add(_ other: SoftDirtyDoubts) {
    claimed.formUnion(other.claimed)
    merged.formUnion(other.merged)
    users.formUnion(other.users)
  }

  /// Why, in a few words, for a person.
  var reason: String {
    var reasons: [String] = []
    if let pid = merged.min() {
      let others = merged.count > 1 ? " and \(merged.count - 1) more" : ""
      reasons.append(
        "the kernel merges pages of process \(pid)\(others) (KSM), which clears their soft-dirty bits")
    }
    if let user = users.min(by: { $0.pid < $1.pid }) {
      let others = users.count > 1 ? ", and there are \(users.count - 1) more of the kind" : ""
      reasons.append(
        "process \(user.holder) has /proc/\(user.pid)/\(user.file) open, and so may clear the soft-dirty bits itself\(others)"
      )
    }
    if let pid = claimed.min() {
      let others = claimed.count > 1 ? " and \(claimed.count - 1) more" : ""
      reasons.append(
        "another run of Sluice copies process \(pid)\(others), and uses or clears the soft-dirty bits"
      )
    }
    return reasons.joined(separator: "; ")
  }

  /// Says what follows for CRIU.
  func warn(_ logger: Logger) {
    let harm = users.isEmpty ? "" : ", and clears the bits"
    logger.warning("'criu dump' on top of these images copies all pages again\(harm): \(reason)")
  }

  /// Makes sure that the bits may be cleared: those who go by them would not see what was written before.
  ///
  /// - Throws: `SluiceError` with `notTrackable`.
  func checkMayClear() throws(SluiceError) {
    if let pid = claimed.min() {
      throw SluiceError(
        .notTrackable,
        "another run of Sluice copies process \(pid), and may use the soft-dirty bits: clearing them would hide writes"
          + " from it; wait for its end, or use another tracker (auto, write-protect or content)")
    }
    guard let user = users.min(by: { $0.pid < $1.pid }) else { return }
    throw SluiceError(
      .notTrackable,
      "process \(user.holder) has /proc/\(user.pid)/\(user.file) open and may use the soft-dirty bits itself:"
        + " clearing them would hide writes from it; use another tracker (auto, write-protect or content)"
    )
  }
}
