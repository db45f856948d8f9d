internal import CSluiceLinux
internal import SluiceImages
internal import SluiceTarget

/// How a round has begun: what is copied, from when on writes are tracked, and what need not be copied.
struct RoundStart: Sendable {
  var tasks: [DumpTask]
  var skipped: [ProcessTree.Skipped]
  var base: RoundBase?
  var tracker: PreDumpReport.Tracker
  /// Microseconds since the machine started, when the tracker was cleared.
  var uptime: UInt64
  /// How long the clearing took, of all tasks together.
  var clearNanoseconds: UInt64 = 0
  /// How long the tree was stopped; nil where it was not.
  var stop: StopTimes?

  /// Whose writes are tracked; nil where none are.
  func trackedTasks() throws(PreDumpError) -> TrackedTasks? {
    guard tracker != .none else { return nil }
    return TrackedTasks(
      bootID: try onTarget { () throws(TargetError) in try Uptime.bootID() },
      tasks: tasks.filter { !$0.hasFailed }.map {
        TrackedTasks.Task(pid: $0.process.namespacePid, startTime: $0.process.startTime)
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
    /// Until everything ran again.
    var resuming: UInt64 = 0
  }
}
