internal import CSluiceLinux

/// Holds a tree of processes still: through the cgroup that they are in, or thread by thread.
///
/// Used from one thread of ours, as `StoppedThreads` is.
public struct StoppedTree: ~Copyable {
  private var cgroup: FrozenCgroup?
  var threads: StoppedThreads?
  private var workers = WorkerThreads([])
  /// The processor time that the processes had taken when they were stopped.
  private var times = ProcessTimes(of: [])
  private let limit: Duration
  private let stuck: @Sendable (TargetError) -> Void
  private var alarm: StuckStopAlarm?
  private var freezeBeganAt: UInt64?
  /// When the first of the tree was told to stop, in nanoseconds of the monotonic clock; nil where nothing is stopped.
  public var beganAt: UInt64? {
    switch threads {
    case .some(let threads): threads.beganAt
    case .none: freezeBeganAt
    }
  }
  /// It begins with `stop`. Whoever has stopped the tree must resume it by its end; to stop the tree takes no longer either.
  public private(set) var lease: StopLease

  /// Prepares to stop a tree; nothing happens to it before `stop`.
  ///
  /// - Parameters:
  ///   - cgroup: the directory of the cgroup that holds all of the tree; nil stops it thread by thread, which takes
  ///     seconds where there are a thousand.
  ///   - report: is called when the cgroup cannot be thawed; nil where there is none.
  ///   - limit: how long it may be stopped.
  ///   - stuck: is called when it is stopped for longer because the thread that uses this value is in the kernel.
  /// - Throws: `TargetError`.
  public init(
    of tree: ProcessTree, freezing cgroup: String?, report: FrozenCgroup.Report? = nil,
    limit: Duration = StopLease.usualLimit, stuck: @escaping @Sendable (TargetError) -> Void = { _ in }
  ) throws(TargetError) {
    self.limit = limit
    self.stuck = stuck
    lease = StopLease(limit: limit)
    if let cgroup {
      self.cgroup = try FrozenCgroup.open(path: cgroup, report: report ?? { _ in })
    } else {
      threads = try StoppedThreads(of: tree.processes)
    }
  }

  /// Stops the tree, with all children that are born meanwhile, and with those that share the memory or the name of one.
  /// Descendants that end meanwhile, or dump core, are left out of it.
  ///
  /// - Throws: `TargetError`; the tree runs on when this value is gone.
  public mutating func stop(_ tree: inout ProcessTree) throws(TargetError) {
    if cgroup != nil { try Self.checkMayBeFrozen(tree.members) }
    lease = StopLease(limit: limit)
    alarm = StuckStopAlarm(lease, stuck)
    if cgroup != nil { freezeBeganAt = sluice_monotonic_nanoseconds() }
    try cgroup?.freeze(within: lease.left(atMost: StoppedThreads.patience), lease)
    try threads?.stop(within: lease.left(atMost: StoppedThreads.patience))
    var held = Set(tree.processes.map(\.pid))
    while true {
      try lease.check()
      _ = try tree.grow()
      let new = tree.members.filter { held.insert($0.pid).inserted }
      if new.isEmpty { break }
      // Parents first: one in vfork cannot be stopped before its child has gone on.
      for process in new {
        try threads?.stop(also: [process], within: lease.left(atMost: StoppedThreads.patience))
      }
    }
    try tree.settle()
    workers = WorkerThreads(stoppedThreadsWorkers)
    try workers.waitUntilAsleep(lease)
    try takeStock(of: &tree)
  }

  /// Makes sure that the cgroup holds the whole tree, and takes note of what else it holds.
  private mutating func takeStock(of tree: inout ProcessTree) throws(TargetError) {
    guard let members = try cgroup?.members() else { return }
    for process in tree.members where try !members.holds(process) {
      throw TargetError(
        .invalidCgroup,
        "process \(process.pid) is not in the frozen cgroup: name a cgroup that holds the whole tree")
    }
    tree.note(CgroupGuests(of: members, beside: tree))
    times = ProcessTimes(of: tree.members)
  }

  /// The freezer interrupts everything that sleeps: who writes a core, and the kernel's own workers, which end then what
  /// they wait for.
  private static func checkMayBeFrozen(_ processes: [TargetProcess]) throws(TargetError) {
    for process in processes { try process.checkMayBeInterrupted() }
    var workers = try WorkerThreads(of: processes)
    guard let busy = try workers.waitUntilIdle() else { return }
    throw TargetError(
      .systemCall,
      "process \(busy) has requests in an io_uring, and they would end early if its cgroup is frozen: do not have it frozen (freezeCgroup; --freeze-cgroup)"
    )
  }

  private var stoppedThreadsWorkers: [WorkerThreads.ID] {
    // Optional chaining would consume it.
    switch threads {
    case .some(let threads): threads.workers
    case .none: []
    }
  }

  /// The processes whose memory the kernel's own threads may have written to since the tree was stopped, such as workers
  /// of an io_uring: these are not stopped.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public func writtenByWorkers() throws(TargetError) -> Set<Int32> { try workers.activeProcesses() }

  /// The processes with requests that wait in workers of an io_uring.
  public var withWaitingWorkers: Set<Int32> { workers.busyProcesses }

  /// Whether all processes have been stopped since `stop`, up to this moment.
  ///
  /// Only its tracer resumes a thread that is traced. But everybody who may write to the files of a cgroup can thaw it.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public mutating func stoodStill(_ tree: ProcessTree) throws(TargetError) -> Bool {
    try cgroup?.stoodStill(tree.members, since: times) ?? true
  }

  /// The same, where nothing can be done about it.
  ///
  /// - Throws: `TargetError` when it has not, too.
  public mutating func checkStoodStill(_ tree: ProcessTree) throws(TargetError) {
    guard try !stoodStill(tree), let error = cgroup?.wasThawed() else { return }
    throw error
  }

  /// Ends the hold and leaves the tree stopped: by SIGSTOP, until SIGCONT, or in its frozen cgroup.
  ///
  /// - Throws: `TargetError`; it runs on then.
  public mutating func leaveStopped() throws(TargetError) {
    try cgroup?.leaveFrozen()
    try threads?.leaveStopped()
    alarm = nil
  }

  /// Lets the tree go on.
  public mutating func resume() {
    cgroup?.thaw()
    threads?.resume()
    alarm = nil
    freezeBeganAt = nil
  }
}
