internal import CSluiceLinux
import Glibc

extension StoppedThreads {
  /// Waits a little for threads that were told to stop and have not; if they go on not to stop, the kernel detaches from
  /// them when the thread that traces them ends.
  static func resume(_ threads: [ThreadTable.Thread], by tracer: Int32) {
    guard !threads.isEmpty else { return }
    precondition(sluice_thread_id() == tracer, "threads are stopped and let go by one thread of ours")
    var isLeft = threads.contains { $0.state == .stopping || $0.state == .gone }
    if !isLeft {
      for thread in threads {
        guard case .stopped(let signal) = thread.state else { continue }
        if sluice_detach(thread.id, signal) != 0 { isLeft = true }
      }
    }
    guard isLeft else { return }
    // Now those that stand, and then those that have to be waited for. The first ones last: a thread that executes
    // another program gives up its id for that of the first one, and is not to be missed.
    let now = ContinuousClock.now
    for deadline in [now, now + .milliseconds(200)] {
      for isFirst in [false, true] {
        for thread in threads where thread.isFirst == isFirst && thread.state != .leftAlone {
          detach(thread, until: deadline)
        }
      }
    }
  }

  private static func detach(_ thread: ThreadTable.Thread, until deadline: ContinuousClock.Instant) {
    var wait = Backoff()
    // What cannot even be looked at is left to the end of the tracer.
    while let look = try? ThreadLook(at: thread) {
      switch look {
      case .stands(let signal):
        if sluice_detach(thread.id, signal) == 0 { return }
      // It may be one that took this id when it executed a program, and was never told to stop; or one that is not
      // traced, of a child of ours.
      case .runs:
        if sluice_interrupt(thread.id) == -ESRCH { return }
      case .hasEnded, .isNotTraced: return
      }
      guard ContinuousClock.now < deadline else { return }
      wait.wait()
    }
  }
}
