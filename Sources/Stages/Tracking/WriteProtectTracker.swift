internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluiceTarget

/// Asynchronous write protection, and the soft-dirty bit beside it where the kernel has one: no round stops a process,
/// and with the soft-dirty bit CRIU's final dump can build on the images.
///
/// The order of the steps is what makes it right: the soft-dirty bits are cleared first, then the mappings are listed,
/// new ones are watched, pages are scanned and protected in one, and then read. Whatever is written after the clear,
/// CRIU takes; whatever is written after the scan, the next round takes.
struct WriteProtectTracker: DirtyTracker {
  let configuration: PreDump.Configuration
  let tracking: WriteTracking
  /// Whether the soft-dirty bit is kept as well.
  let seesSoftDirty: Bool
  /// Whether another tracker may take the place of this one.
  let mayGiveUp: Bool
  /// The memory for what was written, in bytes.
  let dirtyBytes: Int
  /// Who helps to look for that in processes that stand still; nil where nobody does.
  let team: ScanTeam?

  private var name: PreDumpReport.Tracker { seesSoftDirty ? .both : .writeProtect }

  func begin(
    _ tree: inout ProcessTree, on parent: RoundParent?, _ journal: RunJournal
  ) throws(SluiceError) -> PreparedRound {
    let (isFresh, unsettledAt) = (tracking.isFresh, tracking.unsettledAt)
    tracking.forgetAllBut(tree.processes)
    var injections = try protect(tree.processes, of: tree) { $0 === tree.processes[0] ? isFresh : mayGiveUp }
    let known = Set(tree.processes.map(\.pid))
    var start: PreparedRound
    if let parent, isFresh, seesSoftDirty, softDirty.believes(parent) {
      // It is an earlier run that made these images, and only the soft-dirty bit knows what was written since.
      start = try softDirty.takeDirtyPages(&tree, parent, journal)
      start.watch = watch(of: tree, isFirst: true)
    } else {
      start = try beginWithoutStop(&tree, on: parent, journal)
    }
    // What was written is taken from the kernel by now: no other tracker could find it again.
    injections += try protect(tree.processes.filter { !known.contains($0.pid) }, of: tree) { _ in false }
    start.attach(tree) { tracking.protection(of: $0) }
    start.tracker = name
    start.injections = injections.map(\.stoppedNanoseconds)
    start.tree = tree
    if start.watch?.isFirst == false, !injections.isEmpty {
      try protectAll(Set(injections.map(\.pid)), of: start)
      // Devices may have been told to write into a page until it was protected.
      start.devicesBegan = sluice_monotonic_nanoseconds()
    } else {
      // What was unsettled then is copied once more by this round, and not by the next.
      start.devicesBegan = unsettledAt
    }
    return start
  }

  func roomForLast(
    of tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>
  ) -> WrittenPages? {
    seesSoftDirty ? softDirty.roomForLast(of: tree, on: parent, where: isParentOf) : nil
  }

  func beginLast(
    _ tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>,
    in room: consuming WrittenPages?,
    _ lease: StopLease
  ) throws(SluiceError) -> PreparedRound {
    var watched = Set<Int32>()
    try onTarget { () throws(TargetError) in
      for process in tree.processes where try tracking.watches(process) { watched.insert(process.pid) }
    }
    guard let parent, let base = tracking.base(on: parent, where: isParentOf.intersection(watched)) else {
      // Nothing is known of what was written but by the soft-dirty bit.
      guard seesSoftDirty else { return try NoTracker().everything(of: tree) }
      return try softDirty.beginLast(tree, on: parent, where: isParentOf, in: room, lease)
    }
    let uptime = Uptime.microseconds()
    var start = PreparedRound(of: tree, tracker: name, uptime: uptime) { process in
      watched.contains(process.pid) ? tracking.protection(of: process) : nil
    }
    start.base = base
    start.watch = WriteProtectMode(
      protects: false, seesSoftDirty: false, unsettledBytes: DirtySet.smallestBytes)
    return start
  }

  private var softDirty: SoftDirtyTracker {
    SoftDirtyTracker(configuration: configuration, dirtyBytes: dirtyBytes, team: team)
  }

  private func watch(of tree: ProcessTree, isFirst: Bool) -> WriteProtectMode {
    WriteProtectMode(of: tree, seesSoftDirty: seesSoftDirty, isFirst: isFirst, unsettledBytes: dirtyBytes)
  }

  private func beginWithoutStop(
    _ tree: inout ProcessTree, on parent: RoundParent?, _ journal: RunJournal
  ) throws(SluiceError) -> PreparedRound {
    var base: ParentBase?
    if let parent {
      base = tracking.base(on: parent, where: parent.pids(in: tree, configuration))
      if let images = parent.images { try journal.claim(images) }
    }
    var cleared = (uptime: UInt64(0), nanoseconds: UInt64(0))
    do throws(TargetError) {
      if seesSoftDirty {
        cleared = try SoftDirtyTracker.clear(&tree, journal)
      } else {
        cleared.uptime = Uptime.microseconds()
        try tree.growWhileItRuns { _ in }
      }
    } catch {
      // Where nothing is lost yet, what the rounds have found stays true.
      if journal.hasCleared { tracking.roundBegins() }
      throw SluiceError(error)
    }
    // From now on the walk takes from the protections what they know.
    journal.reach(.cleared)
    tracking.roundBegins()
    var start = PreparedRound(of: tree, tracker: name, uptime: cleared.uptime)
    start.clearNanoseconds = cleared.nanoseconds
    start.base = base
    start.watch = watch(of: tree, isFirst: false)
    return start
  }

  /// Has processes watched. One that cannot be is copied whole in each round, unless that is a reason to end the round.
  ///
  /// - Parameter endsRound: whether it is, for this process.
  /// - Returns: those that were not watched before, and how long a thread of each stood still for that.
  private func protect(
    _ processes: [TargetProcess], of tree: ProcessTree, endsRound: (TargetProcess) -> Bool
  ) throws(SluiceError) -> [(pid: Int32, stoppedNanoseconds: UInt64)] {
    var stops: [(pid: Int32, stoppedNanoseconds: UInt64)] = []
    for process in processes {
      do throws(TargetError) {
        try TargetError.checkCancellation()
        if let other = tree.unclear[process.pid] {
          // Two that watch one memory each take from the other what it is to find.
          throw TargetError(
            .notTrackable,
            "the kernel does not say whether it shares the memory of process \(other) (kcmp, CONFIG_KCMP)")
        }
        if let stopped = try tracking.protect(process) { stops.append((process.pid, stopped)) }
        tellMappings(of: process)
      } catch {
        switch error.code {
        // The walk says so of the one that was asked for.
        case .gone: continue
        case .notTrackable, .trackedByAnother, .dumpingCore: break
        default: throw SluiceError(error)
        }
        if endsRound(process) { throw SluiceError(error) }
        configuration.logger.warning(
          "every round copies all of process \(process.pid), since its writes cannot be tracked: \(error)"
        )
      }
    }
    return stops
  }

  /// What the process maps beside watched memory stays a mapping of its own.
  private func tellMappings(of process: TargetProcess) {
    guard let protection = tracking.protection(of: process) else { return }
    let (count, first) = (protection.mappingCount, protection.firstMappingCount)
    configuration.logger.info(
      "process \(process.pid) is watched and has \(count) mappings (\(first) at the start); it may have \(protection.mappingLimit)"
    )
  }

  /// Protects all pages of processes for the first time, apart from the walk that has them copied: so the walk finds
  /// those that were written since, which are few, and not all of them, and devices get the time to end writes that were
  /// begun before.
  private func protectAll(_ pids: Set<Int32>, of start: PreparedRound) throws(SluiceError) {
    for dumped in start.processes where pids.contains(dumped.process.pid) {
      guard let protection = dumped.protection else { continue }
      _ = try dumped.attempt { () throws(TargetError) in
        try protection.protectAll(swapped: configuration.swapped.pages)
      }
    }
  }
}
