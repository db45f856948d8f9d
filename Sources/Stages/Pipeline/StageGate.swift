internal import SluicePipeline

/// Holds a stage back until somebody opens it, for one waiter.
///
/// While processes stand still until they are read, what is read waits in the buffers, and nothing takes the processors
/// from the readers: the stages behind them begin when everything is read, or when few buffers are left.
final class StageGate: Sendable {
  private struct State: Sendable {
    var isOpen = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Locked(State())

  /// Lets the stage go on; whoever opens it once more does nothing. It must be opened, whatever comes: the stage waits
  /// also when its task is cancelled.
  func open() {
    let waiter = state.withLock { state in
      state.isOpen = true
      return state.waiter.take()
    }
    waiter?.resume()
  }

  /// Waits until it is open.
  func wait(isolation: isolated (any Actor)? = #isolation) async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiter = continuation }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }
}
