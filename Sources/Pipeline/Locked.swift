import Glibc

/// A value behind a pthread mutex.
///
/// Not `Synchronization.Mutex`: on Linux that one is invisible to ThreadSanitizer, which then reports
/// every use as a race, and it spins for long under contention (swiftlang/swift#88440).
@safe
public final class Locked<Value: ~Copyable>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var value: Value

  /// Puts the value behind a lock.
  public init(_ value: consuming sending Value) {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    let mutexError = unsafe pthread_mutex_init(mutex, nil)
    let conditionError = unsafe pthread_cond_init(condition, nil)
    precondition(mutexError == 0 && conditionError == 0, "a default mutex and condition can always be had")
    self.value = value
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Runs `body` with the value while no other thread has it. `body` must not block.
  public func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body(&value)
  }

  /// Blocks the calling *thread* until `body`, called with the value now and after each `signal`,
  /// gives a result. For threads of our own only, never for a task on a shared pool; and for one thread at
  /// a time, since glibc can lose a signal where several wait (see `Semaphore`).
  func waitWithLock<Result: ~Copyable>(for body: (inout Value) -> Result?) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&value) {
        return result
      }
      unsafe pthread_cond_wait(condition, mutex)
    }
  }

  /// Wakes the thread that is in `waitWithLock`.
  func signal() {
    unsafe pthread_cond_signal(condition)
  }
}
