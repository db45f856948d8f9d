internal import SluiceImages
internal import SluiceTarget

/// A way to know what processes have written since the images of an earlier round: begins a round by finding that
/// out, or by having it found out while the memory is walked, and has the writes from now on tracked for the next.
///
/// Used from one thread of ours, since the kernel has threads stopped and let go by one and the same.
protocol DirtyTracker {
  /// Begins a round.
  ///
  /// - Parameters:
  ///   - tree: the processes; children that are born meanwhile are added.
  ///   - parent: the images to build on; nil where there are none that can be built on.
  ///   - journal: learns what is done to the parent and to the processes, so that it can be undone.
  /// - Throws: `SluiceError`.
  func begin(
    _ tree: inout ProcessTree, on parent: RoundParent?, _ journal: RunJournal
  ) throws(SluiceError) -> PreparedRound

  /// Takes what a last round needs to know what was written, before the tree stands still; nil where it needs nothing.
  func roomForLast(of tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>)
    -> WrittenPages?

  /// Begins a round after which there is none: the tree stands still, and goes on standing until everything is read.
  /// Nothing is cleared, so if this round fails, the parent is as good as before.
  ///
  /// - Parameters:
  ///   - parent: the images to build on; nil where there are none that can be built on.
  ///   - isParentOf: the pids of the processes that those are of. To find that out, all pagemaps of the chain are read:
  ///     so it is done before the tree stands still.
  ///   - room: what `roomForLast` has given.
  ///   - lease: of the stop.
  /// - Throws: `SluiceError`.
  func beginLast(
    _ tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>,
    in room: consuming WrittenPages?,
    _ lease: StopLease
  ) throws(SluiceError) -> PreparedRound
}

extension DirtyTracker {
  func roomForLast(
    of tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>
  ) -> WrittenPages? { nil }
}

/// No tracker: every round copies everything.
struct NoTracker: DirtyTracker {
  func begin(
    _ tree: inout ProcessTree, on parent: RoundParent?, _ journal: RunJournal
  ) throws(SluiceError) -> PreparedRound {
    try everything(of: tree)
  }

  func beginLast(
    _ tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>,
    in room: consuming WrittenPages?,
    _ lease: StopLease
  ) throws(SluiceError) -> PreparedRound {
    try everything(of: tree)
  }

  /// A round that builds on nothing.
  func everything(of tree: ProcessTree) throws(SluiceError) -> PreparedRound {
    PreparedRound(
      of: tree, tracker: .nothing, uptime: Uptime.microseconds())
  }
}
