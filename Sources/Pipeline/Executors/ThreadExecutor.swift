/// An executor that has one thread of its own, with a name.
///
/// A stage that blocks in system calls (reading another process, scanning its page tables) would block
/// a thread of the cooperative pool, which has one per CPU for the whole program. On this executor it
/// blocks nothing else. Actors use it as their `unownedExecutor`; tasks can prefer it.
///
/// A thread that is pinned to some CPUs must not resume tasks of the cooperative pool: libdispatch
/// starts the pool's threads from the thread that needs them, and they inherit its CPUs. So a pipeline
/// with pinned threads runs its tasks on a `ThreadExecutor` that is not pinned.
public final class ThreadExecutor: SerialExecutor, TaskExecutor {
  private enum Work {
    case job(UnownedJob)
    case body(@Sendable () -> Void)
  }

  private struct State: ~Copyable {
    var work: [Work] = []
    var isShutDown = false
    var isAbandoned = false
  }

  private let state = Locked(State())
  private let thread: NamedThread

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - name: the name in /proc/self/task/*/comm (15 bytes at most).
  ///   - cpus: the CPUs that the thread stays on; nil if the kernel may choose.
  /// - Throws: `NoThread`.
  public init(name: String, cpus: [UInt32]? = nil) throws(NoThread) {
    thread = NamedThread(name: name, cpus: cpus)
    try thread.start { [self] in run() }
  }

  /// The thread's name.
  public var name: String { thread.name }

  /// Hands a job to the thread. The runtime calls this.
  public func enqueue(_ job: consuming ExecutorJob) {
    add(.job(UnownedJob(job)))
  }

  /// Runs `body` on the thread, after all jobs and bodies that were handed to it before.
  func perform(_ body: @escaping @Sendable () -> Void) {
    add(.body(body))
  }

  private func add(_ work: Work) {
    state.withLock { state in
      precondition(
        !state.isShutDown || state.isAbandoned,
        "the executor \(name) was shut down while an actor or task still uses it")
      state.work.append(work)
      // Under the lock, and nothing after it: once the lock is released, the job may run to its end, and the
      // executor may be destroyed with it. The runtime holds no reference to the executor that it enqueues on.
      self.state.signal()
    }
  }

  /// Ends the thread once it has done all the work that was handed to it, and waits for its end.
  ///
  /// Every task and actor that runs here must have ended; the caller must be on another thread.
  public func shutdown() {
    let isAbandoned = state.withLock { state in
      state.isShutDown = true
      return state.isAbandoned
    }
    state.signal()
    if isAbandoned { thread.detach() } else { thread.join() }
  }

  /// Gives up waiting for the work that runs on the thread now, such as a system call that does not return:
  /// `shutdown` will not wait for the thread. If the call does return, the work is done to its end, and the thread
  /// ends then.
  public func abandon() {
    state.withLock { $0.isAbandoned = true }
  }

  private func run() {
    var batch: [Work] = []
    while true {
      let goOn = state.waitWithLock { state -> Bool? in
        if !state.work.isEmpty {
          swap(&state.work, &batch)
          return true
        }
        return state.isShutDown ? false : nil
      }
      guard goOn else { return }
      for work in batch {
        switch work {
        case .job(let job):
          unsafe job.runSynchronously(
            isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
        case .body(let body):
          body()
        }
      }
      // The next swap gives the array back to the queue, so that no job needs an allocation.
      batch.removeAll(keepingCapacity: true)
    }
  }

  /// Traps when the caller is on another thread. The runtime calls this.
  public func checkIsolated() {
    precondition(thread.isCurrent, "this must run on the thread \(name)")
  }

  /// Whether the caller is on this thread. The runtime calls this.
  public func isIsolatingCurrentContext() -> Bool? {
    thread.isCurrent
  }
}
