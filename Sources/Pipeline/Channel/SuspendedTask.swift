/// A task that waits for a value.
///
/// Safe although its continuation is not a checked one: a waiter is taken out of its `WaiterQueue`
/// before it is resumed, under a lock, so it is resumed once.
@safe
struct SuspendedTask<Value: Sendable>: Sendable {
  private let continuation: UnsafeContinuation<Value, Never>

  /// Suspends the current task until it is resumed; `register` is called with it first and must see to that.
  static func suspend(_ register: (SuspendedTask) -> Void) async -> Value {
    unsafe await withUnsafeContinuation { unsafe register(SuspendedTask(continuation: $0)) }
  }

  private init(continuation: UnsafeContinuation<Value, Never>) {
    unsafe self.continuation = continuation
  }

  func resume(returning value: Value) {
    unsafe continuation.resume(returning: value)
  }
}
