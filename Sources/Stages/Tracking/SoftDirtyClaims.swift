internal import SluicePipeline
internal import SluiceTarget

/// The processes whose soft-dirty bits a run has for itself: for as long as it makes rounds, and CRIU its final dump.
final class SoftDirtyClaims: Sendable {
  private let held = Locked<[ProcessTree.Identity: SoftDirtyClaim]>([:])

  /// Claims the bits of these processes, and lets go of those of all others.
  ///
  /// - Returns: the pids of those that another run has.
  /// - Throws: `TargetError` when that cannot be tried.
  func take(_ processes: [TargetProcess]) throws(TargetError) -> Set<Int32> {
    try held.withLock { (held) throws(TargetError) -> Set<Int32> in
      var (kept, others): ([ProcessTree.Identity: SoftDirtyClaim], Set<Int32>) = ([:], [])
      for process in processes {
        if let known = held[process.identity] {
          kept[process.identity] = known
          continue
        }
        switch try SoftDirtyClaim.make(of: process) {
        case .made(let claim): kept[process.identity] = claim
        case .isAnothers: others.insert(process.pid)
        case .isOfNoUse: break
        }
      }
      held = kept
      return others
    }
  }
}
