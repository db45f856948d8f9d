public import CSluiceLinux
import Glibc

/// The kernel starts no further thread.
public struct NoThread: Error {
  /// The thread's name.
  public let name: String
  /// The kernel's reason: EAGAIN where the limit of the user (RLIMIT_NPROC), of the cgroup (pids.max) or of the machine is
  /// reached, or memory for a stack is short.
  public let errno: SystemErrno
}

/// A thread of our own, with a name and, if wanted, the CPUs that it stays on.
final class NamedThread: Sendable {
  /// As it stands in /proc/self/task/*/comm (15 bytes at most).
  let name: String
  private let cpus: [UInt32]?
  private let handle = Locked<pthread_t?>(nil)
  /// Whether the thread was waited for, or left to itself. Locked while it is, so that others wait for the same end.
  private let isJoined = Locked(false)

  init(name: String, cpus: [UInt32]? = nil) {
    self.name = name
    self.cpus = cpus
  }

  /// Starts the thread, which ends when `body` does; `join` must be called after.
  ///
  /// - Throws: `NoThread`; there is nothing to join then.
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

  /// Waits until the thread has ended. Callers are other threads, any number of them; where it has ended already,
  /// nothing happens.
  func join() {
    // Before the lock, which another may hold until this thread ends.
    precondition(!isCurrent, "the thread \(name) cannot wait for its own end")
    isJoined.withLock { isJoined in
      guard !isJoined, let thread = handle.withLock({ $0 }) else { return }
      let error = pthread_join(thread, nil)
      precondition(error == 0, "a thread that was started and not yet joined can be")
      isJoined = true
      // Only now: what ran until here still had to be told that this is its thread.
      handle.withLock { $0 = nil }
    }
  }

  /// Leaves the thread to itself: nobody waits for its end.
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
      // A CPU that was taken offline meanwhile is no reason to fail: the thread then runs anywhere.
      if let cpus = thread.cpus { _ = unsafe sluice_pin_this_thread(cpus, cpus.count) }
      body()
    }
  }
}
