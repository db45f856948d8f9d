internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluiceTarget

/// How a round has begun: what is copied, from when on writes are tracked, and what need not be copied.
struct PreparedRound: Sendable {
  var processes: [DumpedProcess]
  var skipped: [ProcessTree.Skipped]
  var base: ParentBase?
  var tracker: PreDumpReport.Tracker
  /// Microseconds since the machine started, when the tracker was cleared.
  var uptime: UInt64
  /// How long the clearing took, of all processes together.
  var clearNanoseconds: UInt64 = 0
  /// How long the tree was stopped; nil where it was not.
  var stop: StopTimes?
  /// What was found of the io_urings of the processes, where they stand still until everything is read; nil where they
  /// run.
  var standing: AsyncIOQuiescence?
  /// How the walk finds out what was written; nil where it does not.
  var watch: WriteProtectMode?
  /// What of processes is copied in place of what page tables tell.
  var selections: [PageOwner: PageSelection] = [:]
  /// What the pages are compared with; nil where they are not.
  var contents: ContentRound?
  /// Nothing is read before devices had the time to end writes that were begun before this, in nanoseconds of the
  /// monotonic clock; nil where none need be waited for.
  var devicesBegan: UInt64?
  /// The tree, where it has to be asked whether devices still write; nil elsewhere.
  var tree: ProcessTree?
  /// What keeps the soft-dirty bits from telling all that is written.
  var doubts = SoftDirtyDoubts()
  /// Of each process, whether there are probes on its program, or were.
  var areProbed: [Bool] = []
  /// How long threads stood still, one at a time, to have their processes watched.
  var injections: [UInt64] = []

  /// - Parameter protection: that of a process; nil for one that is not watched.
  init(
    of tree: ProcessTree, tracker: PreDumpReport.Tracker, uptime: UInt64,
    protection: (TargetProcess) -> WriteProtection? = { _ in nil }
  ) {
    processes = tree.processes.enumerated().map {
      DumpedProcess(index: $0.offset, process: $0.element, protection: protection($0.element))
    }
    skipped = tree.skipped
    self.tracker = tracker
    self.uptime = uptime
  }

  /// Makes the processes anew of the processes that there are now.
  mutating func attach(_ tree: ProcessTree, protection: (TargetProcess) -> WriteProtection?) {
    processes = PreparedRound(of: tree, tracker: tracker, uptime: uptime, protection: protection).processes
    skipped = tree.skipped
  }

  /// What the images say of themselves.
  var inventory: Inventory {
    doubts.isEmpty
      ? Inventory(dumpUptime: uptime, preDumpMode: .read)
      : .distrusting(uptime: uptime, preDumpMode: .read)
  }

  /// Looks once more, when everything is copied, for what CRIU's final dump would not see, and says so.
  ///
  /// - Throws: `SluiceError` when the kernel does not tell.
  mutating func lookForDoubts(logger: Logger) throws(SluiceError) {
    guard try onTarget({ () throws(TargetError) in try SoftDirty.isSupported() }) else { return }
    doubts.add(try SoftDirtyDoubts(about: processes.filter { !$0.hasFailed }.map(\.process)))
    if !doubts.isEmpty { doubts.warn(logger) }
    guard KernelSupport.probesHideWrites, let dumped = zip(processes, areProbed).first(where: \.1)?.0 else {
      return
    }
    logger.warning(
      "there are probes on the program of process \(dumped.process.pid) (uprobes), or were: before Linux 6.16 no soft-dirty bit shows 'criu dump' that one was set or removed; change no probe until the dump is made"
    )
  }

  /// Whose writes are tracked by what outlasts us, and so by later runs; nil where none are.
  func trackedProcesses() throws(SluiceError) -> TrackedProcesses? {
    guard tracker.seesSoftDirty else { return nil }
    return TrackedProcesses(
      bootID: try onTarget { () throws(TargetError) in try Uptime.bootID() },
      processes: processes.filter { !$0.hasFailed }.map {
        TrackedProcesses.Process(pid: $0.process.namespacePid, startTime: $0.process.machineStartTime)
      })
  }

  /// The parts of a stop, in nanoseconds.
  struct StopTimes: Hashable, Sendable {
    /// From the first attempt until everything stood still.
    var stopping: UInt64 = 0
    /// Until it was known what was written.
    var scanning: UInt64 = 0
    /// Until the tracker was cleared.
    var clearing: UInt64 = 0
    /// Until everything was copied, where the processes stand still for that.
    var copying: UInt64 = 0
    /// Until everything ran again.
    var resuming: UInt64 = 0
  }
}
