internal import CSluiceLinux
internal import SluiceImages
internal import SluiceTarget

/// The kernel's soft-dirty bit. What was written is read and cleared in two steps, between which the processes stand
/// still; the first round needs no stop, for it copies everything.
struct SoftDirtyTracker: DirtyTracker {
  let configuration: PreDump.Configuration
  /// The memory for what was written, in bytes.
  let dirtyBytes: Int

  func begin(_ tree: inout ProcessTree, on parent: ParentImages?) throws(PreDumpError) -> RoundStart {
    guard let parent else {
      return try onTarget { () throws(TargetError) in
        let cleared = try Self.clear(&tree)
        var start = RoundStart(of: tree, tracker: .softDirty, uptime: cleared.uptime)
        start.clearNanoseconds = cleared.nanoseconds
        return start
      }
    }
    return try takeDirtyPages(&tree, parent)
  }

  func beginLast(_ tree: ProcessTree, on parent: ParentImages?) throws(PreDumpError) -> RoundStart {
    let uptime = try onTarget { () throws(TargetError) in try Uptime.microseconds() }
    var start = RoundStart(of: tree, tracker: .softDirty, uptime: uptime)
    guard let parent else { return start }
    let isParentOf = ParentTasks(of: parent, configuration).pids(in: tree)
    var dirty = dirtySet(for: tree)
    try onTarget { () throws(TargetError) in try collect(tree, into: &dirty) }
    start.base = RoundBase(parent: parent, dirty: dirty, of: tree, where: isParentOf)
    return start
  }

  /// Has everything tracked from now on. What is written later is dirty, what was written before is in the copy:
  /// so this needs no stop.
  ///
  /// - Returns: when the tracker was cleared, in microseconds since the machine started, and how long that took.
  static func clear(_ tree: inout ProcessTree) throws(TargetError) -> (uptime: UInt64, nanoseconds: UInt64) {
    // Before the clear, never after: a process that was started later is another one to CRIU.
    let uptime = try Uptime.microseconds()
    var (fresh, cleared) = (tree.processes, UInt64(0))
    // A child that was forked meanwhile is found by the next look, until one finds nothing.
    while !fresh.isEmpty {
      for process in fresh { cleared += try SoftDirty.clear(process) }
      fresh = try tree.grow()
    }
    return (uptime, cleared)
  }

  /// Stops the tree for as long as it takes to find out what was written, and to clear that.
  func takeDirtyPages(_ tree: inout ProcessTree, _ parent: ParentImages) throws(PreDumpError) -> RoundStart {
    let isParentOf = ParentTasks(of: parent, configuration).pids(in: tree)
    try onImages { () throws(ImagesError) in try parent.setAside() }
    var hasCleared = false
    do throws(TargetError) {
      var dirty = dirtySet(for: tree)
      let (times, uptime) = try takeDirtyPages(&tree, into: &dirty, hasCleared: &hasCleared)
      var start = RoundStart(of: tree, tracker: .softDirty, uptime: uptime)
      start.clearNanoseconds = times.clearing
      start.stop = times
      start.parentAside = parent
      start.base = RoundBase(parent: parent, dirty: dirty, of: tree, where: isParentOf)
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
    for process in tree.processes {
      // Where this fails, nothing of the process was cleared.
      _ = try SoftDirty.clear(process)
      hasCleared = true
    }
    times.clearing = lap.next()
    stopped.resume()
    times.resuming = lap.next()
    return (times, uptime)
  }

  private func collect(_ tree: ProcessTree, into dirty: inout DirtySet) throws(TargetError) {
    var scanner = SoftDirtyScanner(like: tree.processes[0], source: configuration.pageStates.source)
    for process in tree.processes {
      dirty.beginTask()
      try scanner.collect(process, into: &dirty)
    }
  }

  /// With room for children that are found only when everything stands still.
  private func dirtySet(for tree: ProcessTree) -> DirtySet {
    DirtySet(byteCount: dirtyBytes, taskCount: 2 * tree.processes.count + 64)
  }
}
