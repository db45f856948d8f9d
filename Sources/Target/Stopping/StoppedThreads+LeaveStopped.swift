internal import CSluiceLinux
import Glibc
internal import SluiceSystem

extension StoppedThreads {
  /// Ends the hold and leaves the processes stopped, by SIGSTOP. Other signals that have come meanwhile wait until they
  /// go on: to run a handler changes the memory.
  ///
  /// - Throws: `TargetError`; all threads go on then.
  public mutating func leaveStopped() throws(TargetError) {
    checkThread()
    defer { resume() }
    do throws(TargetError) {
      // One after the other, parents first: that a child has stopped is a signal to its parent (SIGCHLD).
      for index in processes.indices { try leaveStopped(index) }
    } catch {
      for process in processes { _ = sluice_pidfd_signal(process.process.pidfd.descriptor, SIGCONT) }
      throw error
    }
  }

  /// Stops a process by a signal to one of its threads, and lets the others go when that has stopped.
  ///
  /// A thread takes the signals that were sent to it before those that were sent to its process, and of each the lowest
  /// number first (signal(7)): SIGALRM, sent to the process, would come before a SIGSTOP that was sent there, too.
  /// Once one thread has taken the SIGSTOP, the others stop before they take anything.
  private mutating func leaveStopped(_ index: Int) throws(TargetError) {
    let listed = self.listed[..<(try list(index))]
    let entries = table.threads.indices.filter { entry in
      guard case .stopped = table.threads[entry].state else { return false }
      return listed.contains(table.threads[entry].id)
    }
    guard let first = entries.first(where: { takesNextWhatItIsSent($0) }) ?? entries.first else { return }
    let (thread, pid) = (table.threads[first].id, processes[index].process.pid)
    let sent = sluice_signal_thread(pid, thread, SIGSTOP)
    guard sent == 0 || sent == -ESRCH else {
      throw TargetError(.systemCall, "leaving process \(pid) stopped", errno: SystemErrno(returned: sent))
    }
    let deadline = ContinuousClock.now + Self.patience
    detach(first)
    try waitUntilStopped([thread], of: processes[index], until: deadline)
    for entry in entries where entry != first { detach(entry) }
    try waitUntilStopped(listed, of: processes[index], until: deadline)
  }

  /// Whether a signal that the thread is sent is the next that it takes.
  private func takesNextWhatItIsSent(_ entry: Int) -> Bool {
    table.threads[entry].state == .stopped(signal: 0) && sluice_has_own_signals(table.threads[entry].id) == 0
  }

  /// Detaches from a thread that is stopped. From one that has ended meanwhile there is nothing to detach.
  private mutating func detach(_ entry: Int) {
    guard case .stopped(let signal) = table.threads[entry].state else { return }
    if sluice_detach(table.threads[entry].id, signal) == 0 { table.note(.gone, at: entry) }
  }

  private func waitUntilStopped(
    _ threads: ArraySlice<Int32>, of process: ThreadList, until deadline: ContinuousClock.Instant
  ) throws(TargetError) {
    var wait = Backoff()
    while try !areStopped(threads, of: process) {
      guard ContinuousClock.now < deadline else { throw doesNotStop(process.process.pid) }
      wait.wait()
    }
  }

  private func areStopped(_ threads: ArraySlice<Int32>, of process: ThreadList) throws(TargetError) -> Bool {
    for thread in threads {
      switch try process.state(of: thread) {
      case nil, "T", "Z", "X": continue
      default: return false
      }
    }
    return true
  }
}
