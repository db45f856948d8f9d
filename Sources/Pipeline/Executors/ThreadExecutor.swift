internal import CSluiceLinux
import Glibc

/// An executor that is one thread of its own, with a name.
///
/// A stage that blocks in system calls (reading another process, scanning its page tables) would hold
/// up the cooperative pool, which has one thread per CPU for the whole program; here it blocks nobody
/// else. Actors use it as their `unownedExecutor`; tasks can prefer it.
public final class ThreadExecutor: SerialExecutor, TaskExecutor {
  private struct State: ~Copyable {
    var jobs: [UnownedJob] = []
    var isShutDown = false
  }

  /// The thread's name, as it stands in /proc/self/task/*/comm (15 bytes at most).
  public let name: String
  private let state: Locked<State>
  private let thread: Locked<pthread_t?>

  /// Starts the thread.
  public init(name: String) {
    self.name = name
    state = Locked(State())
    thread = Locked(nil)
    // The thread keeps the executor alive until it ends, which `shutdown` makes it do.
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    var handle = pthread_t()
    let error = unsafe pthread_create(
      &handle, nil,
      { context in
        guard let context = unsafe context else { return nil }
        let executor = unsafe Unmanaged<ThreadExecutor>.fromOpaque(context).takeRetainedValue()
        executor.run()
        return nil
      }, context)
    precondition(
      error == 0, "starting the thread \(name): \(unsafe String(cString: SystemErrno(code: error).cName))")
    thread.withLock { $0 = handle }
  }

  /// Hands a job to the thread. The runtime calls this.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let isShutDown = state.withLock { state in
      state.jobs.append(job)
      // Under the lock: once that is open, the job may run to its end, and the executor go with it.
      self.state.signal()
      return state.isShutDown
    }
    precondition(!isShutDown, "the executor \(name) was shut down while an actor or task still uses it")
  }

  /// Ends the thread once it has run what was enqueued, and waits for it.
  ///
  /// Every task and actor that runs here must have ended; the caller must be on another thread.
  public func shutdown() {
    let isFirst = state.withLock { state in
      defer { state.isShutDown = true }
      return !state.isShutDown
    }
    guard isFirst, let handle = thread.withLock({ $0 }) else { return }
    state.signal()
    let error = pthread_join(handle, nil)
    precondition(error == 0, "the executor \(name) was shut down from its own thread")
    // Only now: what ran until here still had to be told that this is its thread.
    thread.withLock { $0 = nil }
  }

  private func run() {
    unsafe sluice_name_this_thread(name)
    var batch: [UnownedJob] = []
    while true {
      let goOn = state.waitWithLock { state -> Bool? in
        if !state.jobs.isEmpty {
          swap(&state.jobs, &batch)
          return true
        }
        return state.isShutDown ? false : nil
      }
      guard goOn else { return }
      for job in batch {
        unsafe job.runSynchronously(
          isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
      }
      // The array goes back to the queue with the next swap: no allocation for each job.
      batch.removeAll(keepingCapacity: true)
    }
  }

  private var isCurrentThread: Bool {
    thread.withLock { handle in
      handle.map { pthread_equal($0, pthread_self()) != 0 } ?? false
    }
  }

  /// Traps when the caller is on another thread. The runtime calls this.
  public func checkIsolated() {
    precondition(isCurrentThread, "this must run on the thread \(name)")
  }

  /// Whether the caller is on this thread. The runtime calls this.
  public func isIsolatingCurrentContext() -> Bool? {
    isCurrentThread
  }
}
