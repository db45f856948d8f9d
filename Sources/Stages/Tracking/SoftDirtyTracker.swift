internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluiceTarget

/// The kernel's soft-dirty bit. What was written is read and cleared in two steps, between which the processes stand
/// still; the first round needs no stop, for it copies everything.
struct SoftDirtyTracker: DirtyTracker {
  let configuration: PreDump.Configuration
  /// The memory for what was written, in bytes.
  let dirtyBytes: Int
  /// Who helps to look for that in processes that stand still; nil where nobody does.
  let team: ScanTeam?

  func begin(
    _ tree: inout ProcessTree, on parent: RoundParent?, _ journal: RunJournal
  ) throws(SluiceError) -> PreparedRound {
    guard let parent, believes(parent) else {
      return try onTarget { () throws(TargetError) in
        let cleared = try Self.clear(&tree, journal)
        var start = PreparedRound(of: tree, tracker: .softDirty, uptime: cleared.uptime)
        start.clearNanoseconds = cleared.nanoseconds
        return start
      }
    }
    return try takeDirtyPages(&tree, parent, journal)
  }

  func roomForLast(
    of tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>
  ) -> WrittenPages? {
    guard parent != nil else { return nil }
    return WrittenPages(of: isParentOf, byteCount: dirtyBytes, scanner: scanner(for: tree), by: team)
  }

  func beginLast(
    _ tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>,
    in room: consuming WrittenPages?,
    _ lease: StopLease
  ) throws(SluiceError) -> PreparedRound {
    let uptime = Uptime.microseconds()
    var start = PreparedRound(of: tree, tracker: .softDirty, uptime: uptime)
    guard let parent, believes(parent), var written = room else { return start }
    do throws(TargetError) { try written.collect(from: tree, lease) } catch { throw SluiceError(error) }
    try start.doubts.lookForMerged(among: tree.processes)
    start.base = written.base(on: parent, except: start.doubts.merged)
    return start
  }

  /// Whether the bits tell what was written since these images were made; if not, that is said.
  func believes(_ parent: RoundParent) -> Bool {
    guard let images = parent.images else { return true }
    guard case .ignored(let reason) = ParentVerdict.judge(softDirtyBitsSince: images.inventory) else {
      return true
    }
    configuration.logger.warning(
      "copying everything: the soft-dirty tracker cannot use the images in \(parent.path) as a base: \(reason)"
    )
    return false
  }

  /// Has everything tracked from now on. What is written later is dirty, what was written before is in the copy:
  /// so this needs no stop.
  ///
  /// - Parameter journal: learns of the first process that was cleared, also where this fails later.
  /// - Returns: when the tracker was cleared, in microseconds since the machine started, and how long that took.
  static func clear(
    _ tree: inout ProcessTree, _ journal: RunJournal
  ) throws(TargetError) -> (uptime: UInt64, nanoseconds: UInt64) {
    // Before the clear, never after: a process that was started later is another one to CRIU.
    let uptime = Uptime.microseconds()
    let root = tree.processes[0]
    var cleared: UInt64 = 0
    func clearAll(_ processes: [TargetProcess]) throws(TargetError) {
      for process in processes {
        try TargetError.checkCancellation()
        // Where this fails, nothing of the process was cleared.
        cleared += try clear(process, below: root)
        journal.reach(.cleared)
      }
    }
    try clearAll(tree.processes)
    try tree.growWhileItRuns(clearAll)
    return (uptime, cleared)
  }

  /// - Returns: how long it took, in nanoseconds; 0 for a descendant that has ended meanwhile, as will be seen when its
  ///   memory is looked at.
  private static func clear(
    _ process: TargetProcess, below root: TargetProcess
  ) throws(TargetError) -> UInt64 {
    do throws(TargetError) {
      return try SoftDirty.clear(process)
    } catch {
      guard error.code == .gone, process !== root else { throw error }
      return 0
    }
  }

  /// Stops the tree for as long as it takes to find out what was written, and to clear that.
  func takeDirtyPages(
    _ tree: inout ProcessTree, _ parent: RoundParent, _ journal: RunJournal
  ) throws(SluiceError) -> PreparedRound {
    // One outside that shares a memory writes to it between the look at what was written and the clear: it is copied
    // whole, as in a first round.
    let isParentOf = parent.pids(in: tree, configuration)
      .subtracting(tree.outsiders.map(\.owner))
    var written = WrittenPages(
      of: isParentOf, byteCount: dirtyBytes, scanner: scanner(for: tree), by: team)
    if let images = parent.images { try journal.claim(images) }
    let taken = try onTarget { () throws(TargetError) in
      try takeDirtyPages(&tree, into: &written, journal)
    }
    if taken.ranMeanwhile {
      configuration.logger.warning(
        "somebody else thawed the cgroup \(configuration.freezeCgroup ?? "") while Sluice read the soft-dirty bits: this round copies everything"
      )
    }
    var start = PreparedRound(of: tree, tracker: .softDirty, uptime: taken.uptime)
    start.clearNanoseconds = taken.times.clearing
    start.stop = taken.times
    // Whose pages were merged when the bits were read is known to have been so for a while.
    try start.doubts.lookForMerged(among: tree.processes)
    start.base = written.base(on: parent, except: start.doubts.merged)
    return start
  }

  /// How the dirty pages were taken.
  private struct Taken {
    var times = PreparedRound.StopTimes()
    /// When the tracker was cleared, in microseconds since the machine started.
    var uptime: UInt64 = 0
    /// Whether the processes ran in between, so that it is not known what they wrote then: it was cleared after the look.
    var ranMeanwhile = false
  }

  /// So often the tree is stopped, at most, when somebody else lets it run before it is known what was written.
  private static let mostStops = 3

  private func takeDirtyPages(
    _ tree: inout ProcessTree, into written: inout WrittenPages, _ journal: RunJournal
  ) throws(TargetError) -> Taken {
    var stopped = try StoppedTree(
      of: tree, freezing: configuration.freezeCgroup, report: configuration.reportThaw,
      limit: configuration.stopTimeLimit, stuck: configuration.stuck)
    var taken = Taken()
    var lap = LapTimer()
    for number in 1...Self.mostStops {
      try stopped.stop(&tree)
      journal.reach(.stopped)
      // Before that, nothing was stopped.
      if let began = stopped.beganAt { lap = LapTimer(since: began) }
      taken.times.stopping += lap.next()
      try written.collect(from: tree, stopped.lease)
      taken.times.scanning += lap.next()
      if number == Self.mostStops { break }
      if try stopped.stoodStill(tree) { break }
      stopped.resume()
      written.startAnew()
      lap = LapTimer()
    }
    taken.uptime = Uptime.microseconds()
    let root = tree.processes[0]
    for process in tree.processes {
      try stopped.lease.check()
      // Where this fails, nothing of the process was cleared.
      _ = try Self.clear(process, below: root)
      journal.reach(.cleared)
    }
    // What they wrote between the two is known to nobody.
    written.forget(try stopped.writtenByWorkers())
    taken.times.clearing = lap.next()
    if try !stopped.stoodStill(tree) {
      taken.ranMeanwhile = true
      written.forget(Set(tree.processes.map(\.pid)))
    }
    stopped.resume()
    taken.times.resuming = lap.next()
    return taken
  }

  private func scanner(for tree: ProcessTree) -> SoftDirtyScanner {
    SoftDirtyScanner(like: tree.processes[0], source: configuration.pageStates.source)
  }
}

/// What was written of the processes that earlier images are of. Others, such as children that were born since, are
/// copied whole: nothing need be known of them.
///
/// It is filled while the processes stand still, and its memory is there before.
struct WrittenPages: ~Copyable {
  private let isParentOf: Set<Int32>
  private var scanner: SoftDirtyScanner
  private let team: ScanTeam?
  private var dirty: DirtySet
  private let byteCount: Int
  /// The places of the processes in that set, by their pids.
  private var places: [Int32: Int] = [:]

  /// - Parameters:
  ///   - isParentOf: the pids of the processes that the earlier images are of.
  ///   - byteCount: the memory for what was written, in bytes.
  ///   - team: who helps; nil where nobody does.
  init(
    of isParentOf: Set<Int32>, byteCount: Int, scanner: consuming SoftDirtyScanner, by team: ScanTeam?
  ) {
    self.team = team
    self.isParentOf = isParentOf
    self.scanner = scanner
    self.byteCount = byteCount
    dirty = DirtySet(byteCount: byteCount, processCount: isParentOf.count)
    places.reserveCapacity(isParentOf.count)
  }

  /// Adds what was written of all processes of a tree that stands still.
  ///
  /// - Parameter lease: of the stop.
  /// - Throws: `TargetError`.
  mutating func collect(from tree: ProcessTree, _ lease: StopLease) throws(TargetError) {
    for process in tree.processes where isParentOf.contains(process.pid) {
      places[process.pid] = places.count
      dirty.beginProcess()
      if let team {
        try collect(process, by: team, lease)
      } else {
        try scanner.collect(process, into: &dirty, checking: lease.check)
      }
    }
  }

  private mutating func collect(
    _ process: TargetProcess, by team: ScanTeam, _ lease: StopLease
  ) throws(TargetError) {
    var scan = TeamScan(SharedSoftDirtyScan(of: process, by: scanner.source), by: team)
    while try scan.next() {
      try lease.check()
      for index in scan.runs.indices {
        let run = scan.runs[index].run
        dirty.add(from: run.address, to: run.address + run.length)
      }
    }
  }

  /// Has processes copied whole.
  mutating func forget(_ pids: Set<Int32>) {
    for pid in pids { places[pid] = nil }
  }

  /// Forgets what was collected, while the processes run.
  mutating func startAnew() {
    dirty = DirtySet(byteCount: byteCount, processCount: isParentOf.count)
    places.removeAll(keepingCapacity: true)
  }

  /// What a round can build on.
  ///
  /// - Parameter doubted: the pids of those whose bits do not tell all that was written. They are copied whole.
  func base(on parent: RoundParent, except doubted: Set<Int32>) -> ParentBase {
    ParentBase(parent: parent, dirty: dirty, places: places.filter { !doubted.contains($0.key) })
  }
}
