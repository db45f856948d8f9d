internal import CSluiceLinux
import Glibc
internal import SluiceSystem

/// Stops all threads of some processes, and resumes them: ptrace(2) with PTRACE_SEIZE and
/// PTRACE_INTERRUPT.
///
/// A process notices nothing but the time, and that some system calls end early (EINTR: epoll_wait, semtimedop
/// and the like, as signal(7) lists them). One that job control had stopped is stopped afterwards, too; signals
/// that come meanwhile come afterwards. However we end, the kernel resumes the threads.
///
/// To the kernel it is one thread of ours that traces. So all of this is used from one thread, and from no other;
/// when that thread ends, nothing is stopped any more.
public struct StoppedThreads: ~Copyable {
  /// How long threads may take to stop, unless it is said otherwise.
  public static let patience = Duration.seconds(5)

  var processes: [ThreadList]
  /// The places of those that dump core: nothing may interrupt that.
  private var dumping: Set<Int> = []
  var table: ThreadTable
  /// The ids of one listing; the first so many are of the last one.
  var listed: [Int32]
  /// When the first thread was told to stop since this was stopped last, in nanoseconds of the monotonic clock; nil where
  /// none was.
  private(set) var beganAt: UInt64?
  /// The thread of ours that traces.
  private let tracer: Int32
  /// Takes note of the end of threads where the tracer cannot, since it waits for one that waits for just that.
  private let reaper: ThreadReaper

  /// Prepares to stop these processes; nothing happens to them before `stop`. The first is what it is all about: others
  /// may end or execute another program meanwhile.
  ///
  /// - Throws: `TargetError` when their threads cannot be listed.
  public init(of processes: [TargetProcess]) throws(TargetError) {
    var lists: [ThreadList] = []
    var threadCount = 0
    var none: [Int32] = []
    let reaper = try ThreadReaper()
    for process in processes {
      do throws(TargetError) {
        let list = try ThreadList(of: process)
        threadCount += try list.read(into: &none)
        try reaper.add(list)
        lists.append(list)
      } catch {
        guard error.code == .gone, !lists.isEmpty else { throw error }
      }
    }
    // Room for those that are born until all are stopped.
    let capacity = 2 * threadCount + 64
    self.processes = lists
    tracer = sluice_thread_id()
    self.reaper = reaper
    table = ThreadTable(capacity: capacity)
    listed = [Int32](repeating: 0, count: capacity)
  }

  deinit {
    Self.resume(table.threads, by: tracer)
  }

  /// How many threads are stopped.
  public var count: Int { table.stoppedCount }

  /// The threads that were not stopped, because they are workers of the kernel's.
  var workers: [WorkerThreads.ID] {
    table.threads.filter { $0.state == .leftAlone && !dumping.contains($0.process) }.map {
      WorkerThreads.ID(pid: processes[$0.process].process.pid, thread: $0.id)
    }
  }

  /// For tests: what the threads were last seen doing.
  var states: [ThreadTable.State] { table.threads.map(\.state) }

  /// Stops all threads, also those that are born meanwhile. When it returns, none of the processes runs, but for those
  /// behind the first that dump core.
  ///
  /// Threads of the kernel's that never return to the program are not stopped: a worker of an io_uring ends early what it
  /// waits for when it is (`WorkerThreads`).
  ///
  /// - Parameter limit: how long a thread may take.
  /// - Throws: `TargetError`: `gone`, `dumpingCore`, `notPermitted`, or `systemCall` for a thread that does not stop, as one
  ///   that waits for a dead disk. Some threads are stopped then, until `resume`.
  public mutating func stop(within limit: Duration = patience) throws(TargetError) {
    checkThread()
    reaper.work()
    defer { reaper.rest() }
    let deadline = ContinuousClock.now + limit
    while true {
      try tellNewOnesToStop(until: deadline)
      try waitForAll(until: deadline)
      if try allStand() { break }
      guard ContinuousClock.now < deadline else { throw comesToNoEnd() }
    }
    try processes[0].process.checkStillTheSame()
  }

  /// Stops further processes, beside those that are stopped.
  ///
  /// - Throws: `TargetError`, as `stop`.
  public mutating func stop(
    also others: [TargetProcess], within limit: Duration = patience
  ) throws(TargetError) {
    for process in others {
      do throws(TargetError) {
        let list = try ThreadList(of: process)
        try reaper.add(list)
        processes.append(list)
      } catch {
        guard error.code == .gone else { throw error }
      }
    }
    try stop(within: limit)
  }

  /// Lets all threads go on.
  public mutating func resume() {
    checkThread()
    Self.resume(table.threads, by: tracer)
    table = ThreadTable(capacity: 0)
    beganAt = nil
  }

  func checkThread() {
    precondition(sluice_thread_id() == tracer, "threads are stopped and let go by one thread of ours")
  }

  private mutating func tellNewOnesToStop(until deadline: ContinuousClock.Instant) throws(TargetError) {
    for index in processes.indices where !dumping.contains(index) {
      var isAnyNew = false
      for place in 0..<(try list(index)) {
        let isFirst = listed[place] == processes[index].process.pid
        guard let entry = table.add(listed[place], isFirst: isFirst, of: index) else { continue }
        if !isAnyNew {
          if try isDumping(index) { break }
          // Until it is traced there is nothing to detach from.
          table.note(.gone, at: entry)
          try TracingTrial.run(of: processes[index], until: deadline)
          isAnyNew = true
        }
        try seize(entry, until: deadline)
      }
      // What is traced stops before it begins to dump core, when it is about to get the signal: so one that does not by
      // now is none of those that are told to stop.
      guard isAnyNew, !dumping.contains(index), try !isDumping(index) else { continue }
      for entry in table.threads.indices where table.threads[entry].process == index {
        guard table.threads[entry].state == .stopping else { continue }
        if beganAt == nil { beganAt = sluice_monotonic_nanoseconds() }
        try processes[index].interrupt(table.threads[entry].id)
        reaper.step()
      }
    }
  }

  /// Begins to trace a thread, unless it must be left alone.
  private mutating func seize(
    _ entry: Int, until deadline: ContinuousClock.Instant
  ) throws(TargetError) {
    let thread = table.threads[entry]
    // Until it is traced there is nothing to detach from.
    table.note(.gone, at: entry)
    switch try processes[thread.process].isWorker(thread.id) {
    case nil: return
    case true?: table.note(.leftAlone, at: entry)
    case false?: table.note(try processes[thread.process].seize(thread.id, until: deadline), at: entry)
    }
    reaper.step()
  }

  /// Whether a process dumps core. It is left alone then.
  ///
  /// - Throws: `TargetError` with `dumpingCore` where it is the first.
  private mutating func isDumping(_ index: Int) throws(TargetError) -> Bool {
    guard try processes[index].process.isDumpingCore() else { return false }
    dumping.insert(index)
    for entry in table.threads.indices where table.threads[entry].process == index {
      table.note(.leftAlone, at: entry)
    }
    if index == 0 { throw TargetProcess.dumpsCore(processes[0].process.pid) }
    return true
  }

  /// Lists the threads of a process.
  ///
  /// - Returns: how many there are; 0 when it has ended, unless it is the first.
  mutating func list(_ index: Int) throws(TargetError) -> Int {
    while true {
      let count: Int
      do throws(TargetError) {
        count = try processes[index].read(into: &listed)
      } catch {
        guard error.code == .gone, index > 0 else { throw error }
        return 0
      }
      if count <= listed.count { return count }
      listed = [Int32](repeating: 0, count: 2 * count)
    }
  }

  private mutating func waitForAll(until deadline: ContinuousClock.Instant) throws(TargetError) {
    // All were told at once; while the first is waited for, the others stop.
    for index in table.threads.indices where table.threads[index].state == .stopping {
      var wait = Backoff()
      while true {
        let thread = table.threads[index]
        if wait.isLong, try isDumping(thread.process) { break }
        let state = try state(of: thread, afterWaiting: wait.isLong)
        table.note(state, at: index)
        guard state == .stopping else { break }
        guard ContinuousClock.now < deadline else { throw doesNotStop(thread.id) }
        try TargetError.checkCancellation()
        wait.wait()
      }
      reaper.step()
    }
  }

  /// Whether no thread is new and every one that was stopped still stands. A list may miss one that runs, behind another
  /// that ends just then without being shown: so they are counted, too.
  private mutating func allStand() throws(TargetError) -> Bool {
    var isAll = true
    for index in processes.indices where !dumping.contains(index) {
      let count = try list(index)
      for place in 0..<count where !table.isSettled(listed[place]) { isAll = false }
      if try processes[index].count() != count { isAll = false }
    }
    for index in table.threads.indices {
      let thread = table.threads[index]
      // One that ended while they were listed may have hidden others.
      if thread.state == .leftAlone, !dumping.contains(thread.process),
        try processes[thread.process].isWorker(thread.id) != true
      {
        table.note(.gone, at: index)
        isAll = false
      }
      guard case .stopped = thread.state else { continue }
      // A thread that executes another program ends all others, and takes the first one's id.
      let state = try state(of: table.threads[index], afterWaiting: false)
      table.note(state, at: index)
      if case .stopped = state { continue }
      isAll = false
    }
    return isAll
  }

  private func state(
    of thread: ThreadTable.Thread, afterWaiting: Bool
  ) throws(TargetError) -> ThreadTable.State {
    switch try ThreadLook(at: thread) {
    case .stands(let signal):
      // The handler of one that came before the stop begins before the stop: to begin it later would change the
      // memory of processes that are left stopped.
      guard thread.state == .stopping else { return .stopped(signal: signal) }
      guard signal != 0, try processes[thread.process].catches(signal, thread.id) else {
        // At once: from here on we may be killed, and the kernel lets the thread go on as it is.
        sluice_begin_call_anew(thread.id)
        return .stopped(signal: signal)
      }
      let delivered = sluice_deliver(thread.id, signal)
      guard delivered == 0 || delivered == -ESRCH else {
        throw TargetError(
          .systemCall, "stopping thread \(thread.id)", errno: SystemErrno(returned: delivered))
      }
      return .stopping
    case .hasEnded, .isNotTraced: return .gone
    case .runs:
      guard afterWaiting else { return .stopping }
      // One that executes a program takes the id of the first one, and may not have been told under its own. If it is
      // not traced, it looks as if it ran only because the process is a child of ours.
      let told = sluice_interrupt(thread.id)
      if told == -ESRCH { return .gone }
      guard told == 0 else {
        throw TargetError(.systemCall, "stopping thread \(thread.id)", errno: SystemErrno(returned: told))
      }
      // The kernel does not tell the end of a first thread before that of the last.
      guard thread.isFirst,
        let process = processes.first(where: { $0.process.pid == thread.id })
      else { return .stopping }
      return try process.stateOfEnded(thread.id) ?? .stopping
    }
  }

  private func comesToNoEnd() -> TargetError {
    let pids = processes.map { "\($0.process.pid)" }.joined(separator: ", ")
    return TargetError(
      .systemCall, "process \(pids) begins threads faster than they can be stopped: try again later")
  }

  func doesNotStop(_ thread: Int32) -> TargetError {
    var (process, state): (ThreadList?, String) = (nil, "")
    for list in processes {
      // What cannot be read is left out of the message.
      guard let known = try? list.state(of: thread) else { continue }
      (process, state) = (list, " (its state is \(known))")
      break
    }
    return TargetError(
      .systemCall,
      "thread \(thread) of process \(process?.process.pid ?? thread) does not stop\(state): it waits for a disk or a child (vfork), or a cgroup of version 1 has frozen it: thaw it, or try again later"
    )
  }
}

@available(*, unavailable)
extension StoppedThreads: Sendable {}
