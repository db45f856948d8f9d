import Glibc

/// A counting semaphore, for threads of our own that wait for work together.
///
/// Not a condition variable: in glibc before 2.41 `pthread_cond_signal` can be lost when several threads
/// wait on one (sourceware bug 25847), and then a write is never done.
@safe
public final class Semaphore: @unchecked Sendable {
  private let semaphore: UnsafeMutablePointer<sem_t>

  /// Nobody may go on yet.
  public init() {
    unsafe semaphore = .allocate(capacity: 1)
    unsafe semaphore.initialize(to: sem_t())
    let result = unsafe sem_init(semaphore, 0, 0)
    precondition(result == 0, "a semaphore of this process can always be had")
  }

  deinit {
    unsafe sem_destroy(semaphore)
    unsafe semaphore.deallocate()
  }

  /// Lets one thread go on, now or when it comes to wait.
  public func signal() {
    unsafe sem_post(semaphore)
  }

  /// Blocks the calling thread until it is its turn.
  public func wait() {
    while unsafe sem_wait(semaphore) != 0 {
      // A signal handler has run (EINTR); nothing else can go wrong.
    }
  }
}
