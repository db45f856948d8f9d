internal import SluicePipeline

/// The first of several results, for one who waits for it whether or not its task is cancelled.
final class FirstResult<Success: Sendable>: Sendable {
  typealias Value = Result<Success, SluiceError>

  private struct State: Sendable {
    var value: Value?
    var waiter: CheckedContinuation<Value, Never>?
  }

  private let state = Locked(State())

  /// What comes later than another is dropped.
  func give(_ value: Value) {
    let waiter = state.withLock { state -> CheckedContinuation<Value, Never>? in
      guard state.value == nil else { return nil }
      state.value = value
      return state.waiter.take()
    }
    waiter?.resume(returning: value)
  }

  /// Waits for the first; for one waiter.
  func wait() async -> Value {
    await withCheckedContinuation { continuation in
      let value = state.withLock { state -> Value? in
        if state.value == nil { state.waiter = continuation }
        return state.value
      }
      if let value { continuation.resume(returning: value) }
    }
  }
}
