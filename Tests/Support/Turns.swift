import Foundation
import Synchronization

/// Lets a few tests at a time have programs of their own.
///
/// Swift Testing begins all tests of a module at once. On a small machine hundreds of programs would then wait for each
/// other, and what has a limit in time, in tests and in Sluice itself, would fail for that alone.
enum Turns {
  private struct State {
    var free = max(4, 3 * ProcessInfo.processInfo.activeProcessorCount)
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  /// Whether the running test has its turn: its second program needs none.
  @TaskLocal private static var isOurs = false
  private static let state = Mutex(State())

  /// Runs `body` when it is its turn.
  static func take<Result>(_ body: () async throws -> Result) async rethrows -> Result {
    if isOurs { return try await body() }
    await begin()
    defer { end() }
    return try await $isOurs.withValue(true) { try await body() }
  }

  private static func begin() async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      let isFree = state.withLock { state in
        guard state.free > 0 else {
          state.waiting.append(continuation)
          return false
        }
        state.free -= 1
        return true
      }
      if isFree { continuation.resume() }
    }
  }

  private static func end() {
    let next: CheckedContinuation<Void, Never>? = state.withLock { state in
      guard !state.waiting.isEmpty else {
        state.free += 1
        return nil
      }
      return state.waiting.removeFirst()
    }
    next?.resume()
  }
}
