/// A task that waits for a value.
///
/// Safe although its continuation is not a checked one: a waiter is taken out of its `WaiterQueue`
/// before it is resumed, under a lock, so it is resumed once.
@safe
struct SuspendedTask<Value: Sendable>: Sendable {
  private let continuation: UnsafeContinuation<Value, Never>

  /// Suspends the current task until it is resumed; `register` is called with it first and must see to that.
  ///
  /// The isolation is a parameter, here and in whatever awaits this: the body of a cancellation handler in a
  /// `nonisolated(nonsending)` function runs on the task's preferred executor instead of the caller's actor
  /// (Swift 6.3), which costs two more changes of thread for each wait and lets completions come in between.
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
