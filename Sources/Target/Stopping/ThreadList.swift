internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// The threads of a process, as /proc/PID/task lists them. What is listed are threads of this very process: the
/// open directory stays with it.
final class ThreadList: Sendable {
  let process: TargetProcess
  private let directory: ProcFile

  /// The open /proc/PID/task.
  var descriptor: Int32 { directory.descriptor }

  init(of process: TargetProcess) throws(TargetError) {
    self.process = process
    do throws(ProcFile.OpenFailed) {
      directory = try ProcFile(path: "/proc/\(process.pid)/task")
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { throw TargetProcess.ended(process.pid) }
      throw TargetError(.systemCall, "opening /proc/\(process.pid)/task", errno: error.errno)
    }
  }

  /// Reads the ids of the threads.
  ///
  /// - Returns: how many there are, which may be more than there was room for.
  func read(into ids: inout [Int32]) throws(TargetError) -> Int {
    let (descriptor, capacity) = (descriptor, ids.count)
    let count = unsafe ids.withUnsafeMutableBufferPointer {
      unsafe sluice_list_threads(descriptor, $0.baseAddress, capacity)
    }
    if count == -ENOENT || count == -ESRCH { throw TargetProcess.ended(process.pid) }
    guard count >= 0 else {
      throw TargetError(
        .systemCall, "listing the threads of process \(process.pid)", errno: SystemErrno(returned: count))
    }
    return Int(count)
  }

  /// How many threads there are, which may be more than a list has shown; 0 when the process has ended.
  func count() throws(TargetError) -> Int {
    let count = sluice_count_threads(descriptor)
    guard count >= 0 else {
      throw TargetError(
        .systemCall, "counting the threads of process \(process.pid)", errno: SystemErrno(returned: count))
    }
    return Int(count)
  }

  /// The ids of all threads, of a process that runs: those that are born meanwhile may be missing.
  func all() throws(TargetError) -> [Int32] {
    var ids = [Int32](repeating: 0, count: 64)
    while true {
      let count = try read(into: &ids)
      if count <= ids.count { return Array(ids[..<count]) }
      ids = [Int32](repeating: 0, count: 2 * count)
    }
  }

  /// Whether a thread is one of the kernel's that never returns to the program; nil when it has ended.
  func isWorker(_ thread: Int32) throws(TargetError) -> Bool? {
    switch sluice_is_worker(descriptor, thread) {
    case 1: return true
    case 0: return false
    case -ESRCH: return nil
    case let result:
      throw TargetError(
        .systemCall, "looking at thread \(thread) of process \(process.pid)",
        errno: SystemErrno(returned: result))
    }
  }

  /// Begins to trace a thread. Where another run of Sluice traces it, which it does for a moment only, this waits.
  ///
  /// - Returns: what it is from now on: `stopping`, or that it has ended.
  /// - Throws: `TargetError` when it may not be traced.
  func seize(
    _ thread: Int32, until deadline: ContinuousClock.Instant
  ) throws(TargetError) -> ThreadTable.State {
    var wait = Backoff()
    while true {
      do throws(TargetError) {
        return try seize(thread)
      } catch {
        guard error.code == .notPermitted, ContinuousClock.now < deadline, try isTracedBySluice(thread)
        else { throw error }
        try TargetError.checkCancellation()
        wait.wait()
      }
    }
  }

  /// Whether a thread of Sluice traces a thread, or has just detached from it.
  private func isTracedBySluice(_ thread: Int32) throws(TargetError) -> Bool {
    guard let tracer = try status(of: thread)?.number("TracerPid")
    else { return false }
    do throws(ProcFile.OpenFailed) {
      return try ProcFile.text(ofFileAt: "/proc/\(tracer)/comm").hasPrefix("sluice")
    } catch {
      return error.errno.code == ENOENT || error.errno.code == ESRCH
    }
  }

  private func seize(_ thread: Int32) throws(TargetError) -> ThreadTable.State {
    var result: Int32 = 0
    // A thread that ends is refused as if it were not permitted; and its id may be that of one which executes
    // another program, when it is asked for the reason.
    for _ in 0..<3 {
      result = sluice_seize(thread)
      if result == 0 { return .stopping }
      if result == -ESRCH { return .gone }
      guard result == -EPERM || result == -EACCES else { break }
      if let state = try stateOfEnded(thread) { return state }
    }
    throw try refusal(of: thread, errno: SystemErrno(returned: result))
  }

  /// Tells a thread that is traced to stop; one that has ended need not be told.
  func interrupt(_ thread: Int32) throws(TargetError) {
    let result = sluice_interrupt(thread)
    guard result == 0 || result == -ESRCH else {
      throw TargetError(
        .systemCall, "stopping thread \(thread) of process \(process.pid)",
        errno: SystemErrno(returned: result))
    }
  }

  /// Why a thread may not be traced.
  private func refusal(of thread: Int32, errno: SystemErrno) throws(TargetError) -> TargetError {
    guard errno.code == EPERM || errno.code == EACCES else {
      return TargetError(
        .systemCall, "stopping thread \(thread) of process \(process.pid)", errno: errno)
    }
    if let tracer = try status(of: thread)?.number("TracerPid"),
      tracer != 0
    {
      return TargetError(
        .notPermitted,
        "stopping process \(process.pid): thread \(tracer) traces it already (a debugger?), and only one tracer is possible: end that one first",
        errno: errno)
    }
    return TargetError(
      .notPermitted,
      "stopping process \(process.pid) is not permitted: \(TargetProcess.permissionAdvice())", errno: errno)
  }

  /// Nil for a thread that has not ended.
  func stateOfEnded(_ thread: Int32) throws(TargetError) -> ThreadTable.State? {
    guard let state = try state(of: thread) else { return .gone }
    return state == "Z" || state == "X" ? .zombie : nil
  }

  /// Whether a thread's process has a handler for a signal.
  func catches(_ signal: Int32, _ thread: Int32) throws(TargetError) -> Bool {
    guard let status = try status(of: thread) else { return false }
    guard let caught = status.bits("SigCgt") else {
      throw TargetError(
        .systemCall, "/proc/\(process.pid)/task/\(thread)/status has no line of caught signals")
    }
    return caught >> UInt64(signal - 1) & 1 == 1
  }

  /// R running, S sleeping, D waiting for a disk and the like; nil when there is no such thread.
  func state(of thread: Int32) throws(TargetError) -> Character? {
    try status(of: thread)?.state
  }

  private func status(of thread: Int32) throws(TargetError) -> StatusLines? {
    let directory = "/proc/\(process.pid)/task/\(thread)"
    do throws(ProcFile.OpenFailed) {
      return try StatusLines(ofProcessAt: directory)
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { return nil }
      throw TargetError(.systemCall, "reading \(directory)/status", errno: error.errno)
    }
  }
}
