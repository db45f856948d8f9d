internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// Begins a round: finds out what was written since the parent's images were made, and has the tracker begin
/// anew.
///
/// It has a thread of its own, since threads of other processes are stopped and let go by one and the same.
actor RoundStarter {
  private nonisolated let executor: ThreadExecutor
  private let configuration: PreDump.Configuration
  private let dirtyBytes: Int

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  /// - Parameter dirtyBytes: the memory for what was written, in bytes.
  init(configuration: PreDump.Configuration, dirtyBytes: Int, executor: ThreadExecutor) {
    self.configuration = configuration
    self.dirtyBytes = dirtyBytes
    self.executor = executor
  }

  /// Begins the round.
  ///
  /// - Parameter parent: the images to build on; nil where there are none that can be built on.
  /// - Throws: `PreDumpError`. If the tracker was cleared by then, the parent's inventory stays aside.
  func start(_ tree: ProcessTree, parent: ParentImages?) throws(PreDumpError) -> RoundStart {
    var tree = tree
    guard try usesSoftDirty() else {
      let uptime = try onTarget { () throws(TargetError) in try Uptime.microseconds() }
      return start(of: tree, tracker: .none, uptime: uptime)
    }
    guard let parent else { return try trackFromNow(&tree) }
    return try takeDirtyPages(&tree, parent)
  }

  private func usesSoftDirty() throws(PreDumpError) -> Bool {
    // Without images there is nothing that later rounds could build on.
    guard configuration.tracker != .none, configuration.io != .discard else { return false }
    if try onTarget({ () throws(TargetError) in try SoftDirty.isSupported() }) { return true }
    guard configuration.tracker != .softDirty else {
      throw PreDumpError(
        .system, "this kernel keeps no soft-dirty bit (CONFIG_MEM_SOFT_DIRTY): leave --tracker at auto")
    }
    return false
  }

  private func start(
    of tree: ProcessTree, tracker: PreDumpReport.Tracker, uptime: UInt64
  ) -> RoundStart {
    RoundStart(
      tasks: tree.processes.enumerated().map { DumpTask(index: $0.offset, process: $0.element) },
      skipped: tree.skipped, tracker: tracker, uptime: uptime)
  }

  /// Has everything tracked from now on. What is written later is dirty, what was written before is in the copy:
  /// so this needs no stop.
  private func trackFromNow(_ tree: inout ProcessTree) throws(PreDumpError) -> RoundStart {
    do throws(TargetError) {
      // Before the clear, never after: a process that was started later is another one to CRIU.
      let uptime = try Uptime.microseconds()
      var (fresh, cleared) = (tree.processes, UInt64(0))
      // A child that was forked meanwhile is found by the next look, until one finds nothing.
      while !fresh.isEmpty {
        for process in fresh { cleared += try SoftDirty.clear(process) }
        fresh = try tree.grow()
      }
      var start = start(of: tree, tracker: .softDirty, uptime: uptime)
      start.clearNanoseconds = cleared
      return start
    } catch {
      throw PreDumpError(error)
    }
  }

  /// Stops the tree for as long as it takes to find out what was written, and to clear that.
  private func takeDirtyPages(
    _ tree: inout ProcessTree, _ parent: ParentImages
  ) throws(PreDumpError) -> RoundStart {
    let isParentOf = try tasks(in: tree, of: parent)
    try onImages { () throws(ImagesError) in try parent.setAside() }
    var hasCleared = false
    do throws(TargetError) {
      // Room for children that are found only when everything stands still.
      var dirty = DirtySet(byteCount: dirtyBytes, taskCount: 2 * tree.processes.count + 64)
      let (times, uptime) = try takeDirtyPages(&tree, into: &dirty, hasCleared: &hasCleared)
      var start = start(of: tree, tracker: .softDirty, uptime: uptime)
      start.clearNanoseconds = times.clearing
      start.stop = times
      start.base = RoundBase(parent: parent, dirty: dirty, isParentOf: isParentOf)
      return start
    } catch {
      // Nothing is lost yet: the parent is as good as before.
      if !hasCleared { try onImages { () throws(ImagesError) in try parent.putBack() } }
      throw PreDumpError(error)
    }
  }

  private func takeDirtyPages(
    _ tree: inout ProcessTree, into dirty: inout DirtySet, hasCleared: inout Bool
  ) throws(TargetError) -> (RoundStart.StopTimes, uptime: UInt64) {
    var scanner = SoftDirtyScanner(like: tree.processes[0], source: configuration.pageStates.source)
    var stopped = try StoppedTree(of: tree, freezing: configuration.freezeCgroup)
    var times = RoundStart.StopTimes()
    var lap = Lap()
    try stopped.stop(&tree)
    times.stopping = lap.next()
    for process in tree.processes {
      dirty.beginTask()
      try scanner.collect(process, into: &dirty)
    }
    times.scanning = lap.next()
    let uptime = try Uptime.microseconds()
    hasCleared = true
    for process in tree.processes { _ = try SoftDirty.clear(process) }
    times.clearing = lap.next()
    stopped.resume()
    times.resuming = lap.next()
    return (times, uptime)
  }

  /// Which tasks of the tree the parent's images are of.
  private func tasks(in tree: ProcessTree, of parent: ParentImages) throws(PreDumpError) -> Set<Int32> {
    var pids: Set<Int32> = []
    for process in tree.processes {
      let verdict = ParentVerdict.judge(
        pid: process.namespacePid, startTime: process.startTime, inventory: parent.inventory,
        tracked: parent.tracked, ticksPerSecond: Uptime.ticksPerSecond)
      switch verdict {
      case .usable:
        if chainIsWhole(of: process, parent) { pids.insert(process.pid) }
      case .ignored(let reason):
        configuration.logger.notice(
          "copying all of process \(process.pid), since the images in \(parent.path) are no base for it: \(reason)"
        )
      }
    }
    return pids
  }

  /// Whether the parent's images have every page that they promise. If not, they are not built upon any further.
  private func chainIsWhole(of process: TargetProcess, _ parent: ParentImages) -> Bool {
    do throws(ImagesError) {
      try parent.checkChain(pid: process.namespacePid)
      return true
    } catch {
      configuration.logger.warning(
        "copying all of process \(process.pid), since its earlier images are no base for it: \(error)")
      return false
    }
  }
}

/// The time between two moments.
private struct Lap {
  private var last = sluice_monotonic_nanoseconds()

  /// Nanoseconds since the last call, or since this was made.
  mutating func next() -> UInt64 {
    let now = sluice_monotonic_nanoseconds()
    defer { last = now }
    return now - last
  }
}
