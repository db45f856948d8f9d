public import CSluiceLinux
import Glibc

/// The kernel refuses to start a thread.
public struct NoThread: Error {
  /// The thread's name.
  public let name: String
  /// The kernel's reason: EAGAIN if a limit is reached (of the user: RLIMIT_NPROC; of the cgroup: pids.max; of the
  /// machine), or if there is not enough memory for a stack.
  public let errno: SystemErrno
}

/// A thread with a name and, optionally, the CPUs that it stays on.
final class NamedThread: Sendable {
  /// The name in /proc/self/task/*/comm (15 bytes at most).
  let name: String
  private let cpus: [UInt32]?
  private let handle = Locked<pthread_t?>(nil)
  /// Whether the thread was joined or detached. Locked during a join, so that other callers wait for the same end.
  private let isJoined = Locked(false)

  init(name: String, cpus: [UInt32]? = nil) {
    self.name = name
    self.cpus = cpus
  }

  /// Starts the thread, which ends when `body` returns. The caller must `join` or `detach` it later.
  ///
  /// - Throws: `NoThread`; there is no thread to join then.
  func start(_ body: @escaping @Sendable () -> Void) throws(NoThread) {
    let start = Start(thread: self, body: body)
    let context = unsafe Unmanaged.passRetained(start)
    let error = handle.withLock { handle in
      var new = pthread_t()
      let error = unsafe sluice_start_thread(
        &new,
        { context in
          guard let context = unsafe context else { return nil }
          let start = unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
          start.run()
          return nil
        }, context.toOpaque())
      if error == 0 { handle = new }
      return error
    }
    guard error != 0 else { return }
    unsafe context.release()
    throw NoThread(name: name, errno: SystemErrno(code: -error))
  }

  /// Waits until the thread has ended; returns at once if it was joined or detached before. Any number of other
  /// threads may call this.
  func join() {
    // Before the lock, which another caller may hold until this thread ends.
    precondition(!isCurrent, "the thread \(name) cannot wait for its own end")
    isJoined.withLock { isJoined in
      guard !isJoined, let thread = handle.withLock({ $0 }) else { return }
      let error = pthread_join(thread, nil)
      precondition(error == 0, "a thread that was started and not yet joined can be")
      isJoined = true
      // Not earlier: code on the thread asks `isCurrent` until the thread ends.
      handle.withLock { $0 = nil }
    }
  }

  /// Detaches the thread: nobody waits for its end.
  func detach() {
    isJoined.withLock { isJoined in
      guard !isJoined, let thread = handle.withLock({ $0 }) else { return }
      let error = pthread_detach(thread)
      precondition(error == 0, "a thread that was started and not yet joined can be left alone")
      isJoined = true
    }
  }

  var isCurrent: Bool {
    handle.withLock { handle in
      handle.map { pthread_equal($0, pthread_self()) != 0 } ?? false
    }
  }

  private final class Start: Sendable {
    private let thread: NamedThread
    private let body: @Sendable () -> Void

    init(thread: NamedThread, body: @escaping @Sendable () -> Void) {
      self.thread = thread
      self.body = body
    }

    func run() {
      unsafe sluice_name_this_thread(thread.name)
      // If a CPU was taken offline meanwhile, the thread runs on any CPU rather than fail.
      if let cpus = thread.cpus { _ = unsafe sluice_pin_this_thread(cpus, cpus.count) }
      body()
    }
  }
}
