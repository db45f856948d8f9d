internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// What several rounds of one run share to know what was written between them without a stop: the write protection of
/// each process, and the pages that the next round is to copy whatever that says.
///
/// When this goes, nothing is left of it in the processes.
final class WriteTracking: Sendable {
  private struct State: ~Copyable {
    var injector = Injector()
    var protections: [Int32: WriteProtection] = [:]
    var last: Last?
    var isGivenUp = false
    var othersTrack = false
  }

  /// What the last complete round has left.
  fileprivate struct Last {
    /// The directory of its images.
    let directory: String
    /// The processes that it copied, by their pids: their places in the set.
    let places: [Int32: Int]
    let unsettled: DirtySet
    /// When the walk had ended that found these, in nanoseconds of the monotonic clock.
    let walkedAt: UInt64
  }

  private let state = Locked(State())

  /// Whether the tracker cannot be used for these processes, as was found out in an earlier round.
  var isGivenUp: Bool { state.withLock { $0.isGivenUp } }

  /// Whether that was because somebody else tracks them, who may go by the soft-dirty bits as well.
  var othersTrack: Bool { state.withLock { $0.othersTrack } }

  /// Whether no round has been completed yet.
  var isFresh: Bool { state.withLock { $0.last == nil } }

  /// From now on these processes are tracked otherwise.
  ///
  /// - Parameter othersTrack: whether that is because somebody else tracks them.
  func giveUp(othersTrack: Bool) {
    state.withLock {
      $0.isGivenUp = true
      $0.othersTrack = othersTrack
      $0.protections = [:]
      $0.last = nil
    }
  }

  /// The protection of a process; nil where it has none.
  func protection(of process: TargetProcess) -> WriteProtection? {
    state.withLock { $0.protections[process.pid] }
  }

  /// Whether a process is watched with the memory that it has now: one that has executed another program since has the
  /// same pid, and nothing of what its parent images have.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  func watches(_ process: TargetProcess) throws(TargetError) -> Bool {
    try protection(of: process)?.isOf(process) ?? false
  }

  /// Ends the watch of all other processes: of those that have ended, nothing is kept. Their memory may live on with
  /// another one, which is watched anew.
  func forgetAllBut(_ processes: [TargetProcess]) {
    let pids = Set(processes.map(\.pid))
    state.withLock { state in state.protections = state.protections.filter { pids.contains($0.key) } }
  }

  /// Has a process watched, unless it is already.
  ///
  /// - Returns: how long one of its threads stood still, in nanoseconds; nil where nothing had to be done.
  /// - Throws: `TargetError` with `notTrackable` when that cannot be.
  func protect(_ process: TargetProcess) throws(TargetError) -> UInt64? {
    // It blocks, but nobody waits for this lock: rounds come one after the other.
    try state.withLock { (state) throws(TargetError) -> UInt64? in
      if let known = state.protections[process.pid] {
        let isSame = try known.isOf(process)
        let hasRoom = !isSame || known.hasRoom
        if isSame, hasRoom { return nil }
        // It is another process, executes another program, or needs all the mappings that it may have: its pages are
        // those that nobody watches.
        state.protections[process.pid] = nil
        state.last = state.last?.without(process.pid)
      }
      let protection = try WriteProtection(of: process, by: &state.injector)
      state.protections[process.pid] = protection
      return protection.stoppedNanoseconds
    }
  }

  /// What a round can build on; nil where that is not what the last one has left.
  func base(on parent: RoundParent, where isParentOf: Set<Int32>) -> ParentBase? {
    state.withLock { state in
      guard let last = state.last, last.directory == parent.path else { return nil }
      return ParentBase(
        parent: parent, dirty: last.unsettled, places: last.places.filter { isParentOf.contains($0.key) })
    }
  }

  /// What the last round has left to copy once more of a process; nil where it has copied nothing of that.
  func left(of process: TargetProcess) -> DirtySet.Cursor? {
    state.withLock { state in
      state.last.flatMap { last in last.places[process.pid].map { last.unsettled.cursor(ofProcess: $0) } }
    }
  }

  /// When the last round's walk had ended, in nanoseconds of the monotonic clock, if it found pages that devices may have
  /// been writing.
  var unsettledAt: UInt64? {
    state.withLock { state in state.last.flatMap { $0.unsettled.runCount > 0 ? $0.walkedAt : nil } }
  }

  /// A round begins, which takes from the protections what they know.
  func roundBegins() {
    state.withLock { $0.last = nil }
  }

  /// A round is complete.
  ///
  /// - Parameters:
  ///   - directory: of its images.
  ///   - processes: those that it copied, in their order in the set.
  ///   - unsettled: what the next round is to copy as well.
  ///   - walkedAt: when the walk had ended that found these, in nanoseconds of the monotonic clock.
  func roundIsComplete(
    in directory: String, of processes: [DumpedProcess], unsettled: DirtySet, walkedAt: UInt64
  ) {
    var places: [Int32: Int] = [:]
    for dumped in processes where !dumped.hasFailed && dumped.protection != nil {
      places[dumped.process.pid] = dumped.index
    }
    state.withLock { state in
      state.last = Last(directory: directory, places: places, unsettled: unsettled, walkedAt: walkedAt)
    }
    forgetAllBut(processes.map(\.process))
  }

  /// Makes ready for CRIU's final dump, which is about to begin.
  ///
  /// - Throws: `TargetError`.
  func prepareForDump() throws(TargetError) {
    for protection in state.withLock({ Array($0.protections.values) }) {
      do throws(TargetError) {
        try protection.unregisterFiles()
      } catch {
        // Of one that has ended there is nothing to dump.
        guard error.code == .gone else { throw error }
      }
    }
  }
}

extension WriteTracking.Last {
  /// The same, but for one process.
  fileprivate func without(_ pid: Int32) -> Self {
    var places = places
    places[pid] = nil
    return Self(directory: directory, places: places, unsettled: unsettled, walkedAt: walkedAt)
  }
}
