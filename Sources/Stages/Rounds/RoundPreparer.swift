internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// Begins a round: chooses the tracker, which finds out what was written since the parent's images were made, and
/// holds the processes still for a last round.
///
/// It has a thread of its own, since threads of other processes are stopped and let go by one and the same.
actor RoundPreparer {
  private nonisolated let executor: ThreadExecutor
  private let configuration: PreDump.Configuration
  private let role: RoundRole
  private let dirtyBytes: Int
  private let team: ScanTeam?
  private let journal: RunJournal
  /// What a last round holds still.
  private var held: StoppedTree?
  /// The tree that it holds.
  private var heldTree: ProcessTree?
  /// Whether it was looked for processes that share its memory and run, while it stood still.
  private var hasLookedOutside = false
  /// Whether it was taken what the threads were doing.
  private var hasCaptured = false
  private var doubts = SoftDirtyDoubts()
  private var lap = LapTimer()
  /// The parts of that stop.
  private var times: PreparedRound.StopTimes?
  /// How long a last round's stop was to take, as it was forecast just before it.
  private(set) var forecast: Duration?
  /// Why it was held no longer, where that was for the time.
  private var overdue: SluiceError?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  /// - Parameters:
  ///   - role: what the round is among several.
  ///   - dirtyBytes: the memory for what was written, in bytes.
  ///   - team: who helps to look for that in processes that stand still; nil where nobody does.
  init(
    configuration: PreDump.Configuration, role: RoundRole, dirtyBytes: Int, team: ScanTeam?,
    journal: RunJournal,
    executor: ThreadExecutor
  ) {
    self.team = team
    self.journal = journal
    self.configuration = configuration
    self.role = role
    self.dirtyBytes = dirtyBytes
    self.executor = executor
  }

  /// Begins the round.
  ///
  /// - Parameters:
  ///   - parent: the images to build on; nil where there are none that can be built on.
  ///   - terms: of the forecast of a last round's stop.
  ///   - ring: whose buffers are for the reading that takes; nil forecasts nothing.
  /// - Throws: `SluiceError`. Nothing is held still any more.
  func start(
    _ tree: ProcessTree, parent: RoundParent?, forecasting terms: StopForecast.Terms,
    by ring: BufferRing? = nil
  ) throws(SluiceError) -> PreparedRound {
    var tree = tree
    try onTarget { () throws(TargetError) in try tree.lookOutside() }
    for outsider in tree.outsiders {
      configuration.logger.warning(
        "\(outsider): it runs on when the tree is stopped (also by 'criu dump'), so its writes are copied, but not of one moment"
      )
    }
    let hasSoftDirty = try onTarget { () throws(TargetError) in try SoftDirty.isSupported() }
    // Of a core nothing else goes by these bits.
    let usesSoftDirty = role.core == nil || configuration.tracker == .softDirty
    if hasSoftDirty, usesSoftDirty, configuration.io != .discard {
      doubts = try SoftDirtyDoubts(about: tree.processes)
      // Whatever the tracker: CRIU goes by the bits upon all images.
      try doubts.claim(tree.processes, for: role.claims)
    }
    let choice = try chooseTracker(hasSoftDirty: hasSoftDirty)
    if let ring {
      let isParentOf = parent.map { $0.pids(in: tree, configuration) } ?? []
      forecast = try forecastStop(
        of: tree.processes, by: choice.name, where: isParentOf, terms, by: ring)
      if let limit = role.stopLimit, forecast.map({ $0 > limit }) ?? true {
        throw SluiceError(notConvergingAfter: 0, stop: forecast, limit: limit, isOutOfRounds: true)
      }
    }
    configuration.logger.info("tracker: \(choice.name.rawValue), \(reason(for: choice.name))")
    do throws(SluiceError) {
      return try start(&tree, parent, with: choice.tracker)
    } catch {
      guard choice.mayGiveUp, error.code == .notTrackable, journal.putParentBack() else { throw error }
      role.tracking?.giveUp(othersTrack: error.isTrackedByOthers)
      let other = try chooseTracker(hasSoftDirty: hasSoftDirty)
      // A last stop takes longer by it, and CRIU may not be able to build on the images: nobody should find that out later.
      configuration.logger.warning(
        "tracker \(other.name.rawValue) instead of \(choice.name.rawValue): \(error)")
      return try start(&tree, parent, with: other.tracker)
    }
  }

  /// How long a stop would be that copied now what is left.
  ///
  /// - Parameters:
  ///   - tracker: that knows what was written.
  ///   - isParentOf: the pids of the processes that there are images of.
  ///   - ring: whose free buffers are for reading a part of it.
  /// - Throws: `SluiceError` when the kernel does not tell.
  func forecastStop(
    of processes: [TargetProcess], by tracker: PreDumpReport.Tracker, where isParentOf: Set<Int32>,
    _ terms: StopForecast.Terms, by ring: BufferRing
  ) throws(SluiceError) -> Duration {
    var probe = StopProbe(
      by: ring, source: configuration.pageStates.source, swapped: configuration.swapped.pages)
    for process in processes {
      do throws(TargetError) {
        try TargetError.checkCancellation()
        let hasBase = isParentOf.contains(process.pid)
        if let core = role.core { probe.add(byteCount: try core.wholeBytes(of: process)) }
        try probe.look(at: process, by: hasBase ? writes(of: process, by: tracker) : .unknown)
      } catch {
        guard error.code == .gone else { throw SluiceError(error) }
      }
    }
    return StopForecast(probe, terms).duration
  }

  private func writes(
    of process: TargetProcess, by tracker: PreDumpReport.Tracker
  ) throws(TargetError) -> StopProbe.Writes {
    switch tracker {
    case .softDirty: return .softDirty(SoftDirtySampler(of: process))
    case .writeProtect, .both:
      guard let tracking = role.tracking, try tracking.watches(process),
        let protection = tracking.protection(of: process)
      else { return .unknown }
      return .protected(by: protection, left: tracking.left(of: process))
    case .content, .nothing: return .unknown
    }
  }

  /// Everything is read by now: makes sure that it was these processes' memory all the while, and lets go of what a last round
  /// holds still, unless it is to be left stopped. What was read is written, and made valid, after that.
  ///
  /// - Throws: `SluiceError`, where the first of the processes is gone, or the kernel does not tell.
  func readingEnds(_ processes: [DumpedProcess]) throws(SluiceError) {
    for dumped in processes where !dumped.hasFailed {
      _ = try dumped.attempt { () throws(TargetError) in try dumped.process.checkStillTheSame() }
    }
    try capture()
    try lookOutside()
    try checkStoodStill()
    guard let written = try writtenByWorkers() else { return }
    times?.copying = lap.next()
    if !role.leavesStopped { resume() }
    for pid in written.sorted() {
      configuration.logger.warning(
        "requests of an io_uring of process \(pid) went on during the stop: the memory that they write to may be of another moment than the rest"
      )
    }
  }

  /// Takes what the threads are doing that stand still, where that is wanted; others read meanwhile.
  ///
  /// - Throws: `SluiceError` when the kernel does not tell.
  func capture() throws(SluiceError) {
    guard let core = role.core, !hasCaptured, let heldTree else { return }
    hasCaptured = true
    try onTarget { () throws(TargetError) in
      for process in heldTree.processes {
        guard let threads = try held?.threadStates(of: process) else { return }
        do throws(TargetError) { try core.take(threads, of: process) } catch {
          guard error.code == .gone, process !== heldTree.processes[0] else { throw error }
        }
      }
    }
  }

  /// Looks for what goes on writing to the memory that a last round holds still, and has come since the round began. All
  /// processes of the machine are listed for that, and so it is done while others read.
  ///
  /// - Throws: `SluiceError` where there is any.
  private func lookOutside() throws(SluiceError) {
    // Nothing is refused for a core, and while it is looked, others that read have a processor less.
    guard role.core == nil, !hasLookedOutside, held != nil, var tree = heldTree else { return }
    hasLookedOutside = true
    try onTarget { () throws(TargetError) in try tree.lookForNewOutsiders() }
    try refuseOutsiders(of: tree)
  }

  /// Makes sure that what a last round holds still has stood still up to this moment.
  ///
  /// - Throws: `SluiceError` when somebody else has let it run.
  private func checkStoodStill() throws(SluiceError) {
    guard let heldTree else { return }
    try onTarget { () throws(TargetError) in try held?.checkStoodStill(heldTree) }
  }

  /// Nil where nothing is held still.
  private func writtenByWorkers() throws(SluiceError) -> Set<Int32>? {
    switch held {
    case .some(let stopped): try onTarget { () throws(TargetError) in try stopped.writtenByWorkers() }
    case .none: nil
    }
  }

  /// How long what parts of a last round's stop took; nil where nothing was held still.
  var stopTimes: PreparedRound.StopTimes? { times }

  /// Lets go of what a last round holds still, if there is anything.
  func resume() {
    guard var stopped = held.take() else { return }
    lap = LapTimer()
    stopped.resume()
    times?.resuming = lap.next()
  }

  /// Looks after what a last round holds still, from the moment when others begin to read: whether anybody else writes
  /// there, and that it is not held for too long.
  ///
  /// - Returns: why the round has failed; nil where nothing was held still any more, or the task was cancelled.
  func watchOver() async -> SluiceError? {
    do throws(SluiceError) {
      try capture()
      try lookOutside()
    } catch { return error }
    return await waitUntilOverdue()
  }

  /// Waits until what a last round holds still has been held for as long as it may be, and lets go of it then.
  ///
  /// - Parameter heedsCancellation: whether it lets go of that, too, when the task is cancelled meanwhile.
  /// - Returns: why the round has failed; nil where nothing was held still any more, or the task was cancelled.
  func waitUntilOverdue(heedsCancellation: Bool = false) async -> SluiceError? {
    guard let lease = heldLease else { return nil }
    do {
      try await Task.sleep(until: lease.deadline, clock: .continuous)
    } catch {
      if heedsCancellation { resume() }
      return nil
    }
    guard heldLease != nil else { return nil }
    resume()
    let error = SluiceError(
      .io,
      "\(lease.isOver("all was read and written that had to be").message), give it more memory (memoryBudget; --memory-budget), or a faster disk"
    )
    // What was begun to be written must end before the error can be told, and a dead disk never ends it.
    configuration.logger.warning("\(error)")
    overdue = error
    return error
  }

  private var heldLease: StopLease? {
    switch held {
    case .some(let stopped): stopped.lease
    case .none: nil
    }
  }

  /// Leaves stopped what a last round holds still: by SIGSTOP, or in its frozen cgroup.
  ///
  /// - Throws: `SluiceError` when that cannot be, or it was let go of meanwhile; it runs then.
  func leaveStopped() throws(SluiceError) {
    guard var stopped = held.take() else { throw overdue ?? .cancelled }
    for pid in stopped.withWaitingWorkers.sorted() {
      configuration.logger.warning(
        "process \(pid) has requests that wait in workers of its io_uring: --leave-stopped would end them early"
      )
    }
    do throws(TargetError) { try stopped.leaveStopped() } catch { throw SluiceError(error) }
  }

  private func start(
    _ tree: inout ProcessTree, _ parent: RoundParent?, with tracker: any DirtyTracker
  ) throws(SluiceError) -> PreparedRound {
    guard role.isLast else {
      var start = try tracker.begin(&tree, on: parent, journal)
      start.doubts.add(doubts)
      return start
    }
    let isParentOf = parent.map { $0.pids(in: tree, configuration) } ?? []
    // One that appears before all stand still is found when they do.
    try refuseOutsiders(of: tree)
    let ranges: [Int32: CoveredRanges] =
      if let parent { try ParentBase.ranges(of: tree.processes, in: parent, where: isParentOf) } else { [:] }
    let room = tracker.roomForLast(of: tree, on: parent, where: isParentOf)
    var times = PreparedRound.StopTimes()
    var stopped = try onTarget { () throws(TargetError) in
      try StoppedTree(
        of: tree, freezing: configuration.freezeCgroup, report: configuration.reportThaw,
        limit: configuration.stopTimeLimit, stuck: configuration.stuck)
    }
    lap = LapTimer()
    var start: PreparedRound
    let standing: AsyncIOQuiescence
    do throws(SluiceError) {
      try onTarget { () throws(TargetError) in try stopped.stop(&tree) }
      journal.reach(.stopped)
      // Before that, nothing was stopped.
      if let began = stopped.beganAt { lap = LapTimer(since: began) }
      times.stopping = lap.next()
      standing = try waitForDevices(tree, stopped.lease)
      start = try tracker.beginLast(tree, on: parent, where: isParentOf, in: room, stopped.lease)
    } catch {
      stopped.resume()
      throw error
    }
    times.scanning = lap.next()
    start.standing = standing
    start.base = start.base?.with(ranges)
    start.doubts.add(doubts)
    self.times = times
    held = consume stopped
    heldTree = tree
    return start
  }

  /// What goes on writing while the tree stands still has no images of one moment.
  private func refuseOutsiders(of tree: ProcessTree) throws(SluiceError) {
    // A core has what is there, as the kernel's own have.
    guard role.core == nil, let outsider = tree.outsiders.first(where: \.isCertain) else { return }
    throw SluiceError(outsider)
  }

  /// Waits until what the processes have asked of devices without waiting for it themselves has come, where they do
  /// such things.
  private func waitForDevices(
    _ tree: ProcessTree, _ lease: StopLease
  ) throws(SluiceError) -> AsyncIOQuiescence {
    try onTarget { () throws(TargetError) in
      let standing = try AsyncIOQuiescence(into: tree.processes)
      try standing.wait(lease)
      return standing
    }
  }
}

/// What a round is among several of one run.
struct RoundRole: Sendable {
  /// What the rounds share to know what was written without a stop; nil for one by itself, which no round follows.
  var tracking: WriteTracking?
  /// The processes whose soft-dirty bits this run has for itself.
  var claims = SoftDirtyClaims()
  /// Its number among the rounds, from 1; nil for one by itself.
  var number: Int?
  /// How often it was begun.
  var tries = 1
  /// Whether it is the first one: what is said of all of them is said by it.
  var isFirst = true
  /// Which directory the parent's path must lead to; nil where the user has named it.
  var parent: FileIdentity?
  /// Whether the processes stand still while it copies what is left.
  var isLast = false
  /// Whether they are left stopped then.
  var leavesStopped = false
  /// A last round that no other came before is not made where its stop is forecast to be longer; nil where that is no
  /// reason.
  var stopLimit: Duration?
  /// Whether it is forecast, when the round is complete, how long a stop would be.
  var forecastsStop = false
  /// What the rounds before have written in a second, in bytes; nil where that is not known.
  var writeRate: Double?
  /// The processes that the rounds before have copied.
  var known: Set<ProcessTree.Identity> = []
  /// What a round takes beside pages, where it writes cores; nil for others.
  var core: CoreRound?
  /// What earlier rounds have written to the same sink, on which the round builds; nil where it builds on images or nothing.
  var written: RoundParent?
  /// What rounds into sinks share to know what they have; nil where they make images, or cores.
  var covered: CoveredMemory?
  /// What the rounds are a part of, as it is told to the observer; nil where there is none.
  var run: Observation?
}

extension RoundPreparer {
  private struct Choice {
    let tracker: any DirtyTracker
    let name: PreDumpReport.Tracker
    /// Whether another one may take its place.
    var mayGiveUp = false
  }

  /// The best tracker that was asked for and that there is.
  private func chooseTracker(hasSoftDirty: Bool) throws(SluiceError) -> Choice {
    // Without images there is nothing that later rounds could build on.
    guard configuration.tracker != .none, configuration.io != .discard else {
      return Choice(tracker: NoTracker(), name: .nothing)
    }
    switch configuration.tracker {
    case .none: break
    case .softDirty:
      guard hasSoftDirty else { throw Self.lacksSoftDirty }
      try doubts.checkMayClear()
      return softDirty
    case .writeProtect, .both:
      guard configuration.tracker == .writeProtect || hasSoftDirty else { throw Self.lacksSoftDirty }
      guard let tracking = role.tracking else { throw Self.lacksProtection }
      if let refusal = protectionRefusal { throw refusal }
      if configuration.tracker == .both { try doubts.checkMayClear() }
      return writeProtect(tracking, seesSoftDirty: configuration.tracker == .both, mayGiveUp: false)
    case .content: return content
    case .automatic:
      let believesSoftDirty = hasSoftDirty && doubts.isEmpty
      if let tracking = role.tracking, !tracking.isGivenUp, protectionRefusal == nil {
        return writeProtect(tracking, seesSoftDirty: believesSoftDirty, mayGiveUp: tracking.isFresh)
      }
      // Who clears the soft-dirty bits takes from somebody else, too, what these would have told.
      if believesSoftDirty, role.tracking?.othersTrack != true { return softDirty }
      // Where no round follows or went before, it would be of no use; nor where no directory has the hashes.
      if role.covered == nil, role.tracking != nil || configuration.parentDirectory != nil {
        return content
      }
    }
    return Choice(tracker: NoTracker(), name: .nothing)
  }

  private var softDirty: Choice {
    Choice(
      tracker: SoftDirtyTracker(configuration: configuration, dirtyBytes: dirtyBytes, team: team),
      name: .softDirty)
  }

  private var content: Choice {
    Choice(tracker: ContentTracker(configuration: configuration), name: .content)
  }

  private func writeProtect(_ tracking: WriteTracking, seesSoftDirty: Bool, mayGiveUp: Bool) -> Choice {
    Choice(
      tracker: WriteProtectTracker(
        configuration: configuration, tracking: tracking, seesSoftDirty: seesSoftDirty,
        mayGiveUp: mayGiveUp, dirtyBytes: dirtyBytes, team: team),
      name: seesSoftDirty ? .both : .writeProtect, mayGiveUp: mayGiveUp)
  }

  /// Why memory cannot be write-protected; nil where it can.
  private var protectionRefusal: SluiceError? {
    for answer in [KernelSupport.asynchronousWriteProtect(), KernelSupport.pagemapScan()] {
      switch answer {
      case .yes: continue
      case .no: return Self.lacksProtection
      case .refused(let errno):
        return SluiceError(
          TargetError(
            .systemCall,
            "trying whether this kernel write-protects memory asynchronously (another tracker, such as auto, needs no such trial)",
            errno: errno))
      }
    }
    return configuration.pageStates == .pagemap ? Self.lacksProtection : nil
  }

  private static var lacksProtection: SluiceError {
    SluiceError(
      .system,
      "this kernel does not write-protect memory asynchronously (Linux 6.7): use another tracker, such as auto"
    )
  }

  /// Why it is this tracker, in a few words.
  private func reason(for name: PreDumpReport.Tracker) -> String {
    if configuration.tracker != .automatic { return "as asked for" }
    if !doubts.isEmpty { return "since \(doubts.reason)" }
    switch name {
    case .both: return "the best one that works here"
    case .writeProtect: return "since the kernel keeps no soft-dirty bits"
    default: break
    }
    if configuration.io == .discard { return "since no images are made" }
    if role.tracking == nil {
      return "since write protection is only used by several rounds of one run (--rounds)"
    }
    if role.tracking?.isGivenUp == true { return "since the processes cannot be watched" }
    return "since the kernel does not write-protect memory asynchronously (Linux 6.7)"
  }

  private static var lacksSoftDirty: SluiceError {
    SluiceError(
      .system,
      "this kernel keeps no soft-dirty bit (CONFIG_MEM_SOFT_DIRTY): use another tracker, such as auto")
  }
}
