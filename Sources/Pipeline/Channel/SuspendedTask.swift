/// A task that waits for a value.
///
/// This is safe although the continuation is not a checked one: a waiter is removed from its
/// `WaiterQueue` under a lock before it is resumed, so it is resumed once.
@safe
struct SuspendedTask<Value: Sendable>: Sendable {
  private let continuation: UnsafeContinuation<Value, Never>

  /// Suspends the current task until it is resumed. `register` is called first, with the suspended task,
  /// and must make sure that somebody resumes it.
  ///
  /// The isolation is a parameter, here and in every function that awaits this one: the body of a
  /// cancellation handler in a `nonisolated(nonsending)` function runs on the task's preferred executor
  /// instead of the caller's actor (Swift 6.3). That costs two more changes of thread for each wait, and lets
  /// completions run in between.
  static func suspend(
    isolation: isolated (any Actor)? = #isolation, _ register: (SuspendedTask) -> Void
  ) async -> Value {
    await unsafe withUnsafeContinuation(isolation: isolation) {
      unsafe register(SuspendedTask(continuation: $0))
    }
  }

  private init(continuation: UnsafeContinuation<Value, Never>) {
    unsafe self.continuation = continuation
  }

  func resume(returning value: Value) {
    unsafe continuation.resume(returning: value)
  }
}
