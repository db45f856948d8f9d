internal import CSluiceLinux
import Glibc

/// Holds all threads of some processes still, and lets them go on: ptrace(2) with PTRACE_SEIZE and
/// PTRACE_INTERRUPT.
///
/// A process notices nothing but the time, and that some system calls end early (EINTR: epoll_wait, semtimedop
/// and the like, as signal(7) lists them). One that job control had stopped is stopped afterwards, too; signals
/// that come meanwhile come afterwards. Whatever becomes of us, the kernel lets the threads go.
///
/// To the kernel it is one thread of ours that traces. So all of this is used from one thread, and from no other;
/// when that thread ends, nothing is held any more.
public struct StoppedThreads: ~Copyable {
  /// How long threads may take to stand still, unless it is said otherwise.
  public static let patience = Duration.seconds(5)

  private var processes: [ThreadList]
  private var table: ThreadTable
  /// The ids of one listing; the first so many are of the last one.
  private var listed: [Int32]
  /// The thread of ours that traces.
  private let tracer: Int32

  /// Prepares to stop these processes; nothing happens to them before `stop`.
  ///
  /// - Throws: `TargetError` when their threads cannot be listed.
  public init(of processes: [TargetProcess]) throws(TargetError) {
    var lists: [ThreadList] = []
    var threadCount = 0
    var none: [Int32] = []
    for process in processes {
      let list = try ThreadList(of: process)
      threadCount += try list.read(into: &none)
      lists.append(list)
    }
    // Room for those that are born until all stand still.
    let capacity = 2 * threadCount + 64
    self.processes = lists
    tracer = sluice_thread_id()
    table = ThreadTable(capacity: capacity)
    listed = [Int32](repeating: 0, count: capacity)
  }

  deinit {
    Self.resume(table.threads, by: tracer)
  }

  /// How many threads stand still.
  public var count: Int { table.standingCount }

  /// Stops all threads, also those that are born meanwhile. When it returns, none of the processes runs.
  ///
  /// - Parameter limit: how long a thread may take.
  /// - Throws: `TargetError`: `gone`, `notPermitted`, or `systemCall` for a thread that does not stop, as one
  ///   that waits for a dead disk. Some threads stand still then, until `resume`.
  public mutating func stop(within limit: Duration = patience) throws(TargetError) {
    checkThread()
    let deadline = ContinuousClock.now + limit
    while true {
      try tellNewOnesToStop()
      try waitForAll(until: deadline)
      if try allStand() { break }
      guard ContinuousClock.now < deadline else { throw comesToNoEnd() }
    }
    for process in processes { try process.process.checkStillTheSame() }
  }

  /// Lets all threads go on.
  public mutating func resume() {
    checkThread()
    Self.resume(table.threads, by: tracer)
    table = ThreadTable(capacity: 0)
  }

  /// Stops further processes, beside those that stand still.
  ///
  /// - Throws: `TargetError`, as `stop`.
  public mutating func stop(
    also others: [TargetProcess], within limit: Duration = patience
  ) throws(TargetError) {
    for process in others { processes.append(try ThreadList(of: process)) }
    try stop(within: limit)
  }

  private func checkThread() {
    precondition(sluice_thread_id() == tracer, "threads are stopped and let go by one thread of ours")
  }

  // MARK: Stopping

  private mutating func tellNewOnesToStop() throws(TargetError) {
    for index in processes.indices {
      for place in 0..<(try list(index)) {
        guard let entry = table.add(listed[place]) else { continue }
        try tellToStop(entry, of: processes[index])
      }
    }
  }

  private mutating func tellToStop(_ entry: Int, of process: ThreadList) throws(TargetError) {
    let thread = table.threads[entry].id
    // Until it is traced there is nothing to let go of.
    table.note(.gone, at: entry)
    let state = try process.seize(thread)
    table.note(state, at: entry)
    if state == .stopping { try process.interrupt(thread) }
  }

  /// Lists the threads of a process.
  ///
  /// - Returns: how many there are.
  private mutating func list(_ index: Int) throws(TargetError) -> Int {
    while true {
      let count = try processes[index].read(into: &listed)
      if count <= listed.count { return count }
      listed = [Int32](repeating: 0, count: 2 * count)
    }
  }

  private mutating func waitForAll(until deadline: ContinuousClock.Instant) throws(TargetError) {
    // All were told at once; while the first is waited for, the others stop.
    for index in table.threads.indices where table.threads[index].state == .stopping {
      var wait = Backoff()
      while true {
        let thread = table.threads[index].id
        let state = try state(of: thread, afterWaiting: wait.isLong)
        table.note(state, at: index)
        guard state == .stopping else { break }
        guard ContinuousClock.now < deadline else { throw doesNotStop(thread) }
        wait.wait()
      }
    }
  }

  /// Whether no thread is new and every one that was stopped still stands. A list cannot miss one that runs: it
  /// skips threads only when some that it has shown end meanwhile, and those that stand do not.
  private mutating func allStand() throws(TargetError) -> Bool {
    var isAll = true
    for index in processes.indices {
      for place in 0..<(try list(index)) where !table.knows(listed[place]) { isAll = false }
    }
    for index in table.threads.indices {
      guard case .standing = table.threads[index].state else { continue }
      // A thread that executes another program ends all others, and takes the first one's id.
      let state = try state(of: table.threads[index].id, afterWaiting: false)
      table.note(state, at: index)
      if case .standing = state { continue }
      isAll = false
    }
    return isAll
  }

  private func state(of thread: Int32, afterWaiting: Bool) throws(TargetError) -> ThreadTable.State {
    var signal: Int32 = 0
    switch unsafe sluice_look_at_thread(thread, &signal) {
    case Int32(SLUICE_THREAD_STANDS.rawValue): return .standing(signal: signal)
    case Int32(SLUICE_THREAD_RUNS.rawValue):
      // The kernel does not tell the end of a first thread before that of the last.
      guard afterWaiting, let process = processes.first(where: { $0.process.pid == thread }) else {
        return .stopping
      }
      return process.stateOfEnded(thread) ?? .stopping
    case Int32(SLUICE_THREAD_HAS_ENDED.rawValue):
      if !processes.contains(where: { $0.process.pid == thread }) { _ = sluice_note_end_of_thread(thread) }
      return .gone
    case -ECHILD: return .gone
    case let result:
      throw TargetError(.systemCall, "watching thread \(thread)", errno: SystemErrno(returned: result))
    }
  }

  private func comesToNoEnd() -> TargetError {
    let pids = processes.map { "\($0.process.pid)" }.joined(separator: ", ")
    return TargetError(
      .systemCall, "process \(pids) begins threads faster than they can be stopped: try again later")
  }

  private func doesNotStop(_ thread: Int32) -> TargetError {
    let process = processes.first { $0.state(of: thread) != nil }
    let state = process?.state(of: thread).map { " (its state is \($0))" } ?? ""
    return TargetError(
      .systemCall,
      "thread \(thread) of process \(process?.process.pid ?? thread) does not stop\(state): try again later")
  }

  // MARK: Letting go

  /// Those that stand go first. One that was told to stop and has not is waited for a little; if it goes on not to
  /// stop, the kernel lets go of it when the thread that traces it ends.
  private static func resume(_ threads: [ThreadTable.Thread], by tracer: Int32) {
    guard !threads.isEmpty else { return }
    precondition(sluice_thread_id() == tracer, "threads are stopped and let go by one thread of ours")
    var isLeft = false
    for thread in threads {
      switch thread.state {
      case .standing(let signal):
        if sluice_let_go(thread.id, signal) != 0 { isLeft = true }
      case .stopping: isLeft = true
      case .zombie, .gone: continue
      }
    }
    guard isLeft else { return }
    let deadline = ContinuousClock.now + .milliseconds(200)
    for thread in threads { letGo(thread.id, until: deadline) }
  }

  private static func letGo(_ thread: Int32, until deadline: ContinuousClock.Instant) {
    var wait = Backoff()
    while true {
      var signal: Int32 = 0
      switch unsafe sluice_look_at_thread(thread, &signal) {
      case Int32(SLUICE_THREAD_STANDS.rawValue):
        if sluice_let_go(thread, signal) == 0 { return }
      case Int32(SLUICE_THREAD_RUNS.rawValue): break
      // It has ended, or we do not trace it any more.
      default: return
      }
      guard ContinuousClock.now < deadline else { return }
      wait.wait()
    }
  }
}

@available(*, unavailable)
extension StoppedThreads: Sendable {}
