/// Lets threads of our own that work beside each other do one thing each in order, such as writing what they have made to a
/// pipe.
///
/// Each piece of work has a number, from 0 up without gaps, and its thread waits for its turn before it does that thing.
public final class Turns: Sendable {
  private struct State {
    var current: UInt64 = 0
    var isOver = false
    var waiting: [UInt64: Semaphore] = [:]
  }

  private let state = Locked(State())

  /// It is the turn of number 0.
  public init() {}

  /// Blocks the calling thread until it is this number's turn.
  ///
  /// - Returns: false where nobody has a turn any more.
  public func wait(for number: UInt64) -> Bool {
    let semaphore = state.withLock { state -> Semaphore? in
      guard !state.isOver, state.current != number else { return nil }
      precondition(state.current < number, "each number has its turn once")
      let semaphore = Semaphore()
      state.waiting[number] = semaphore
      return semaphore
    }
    semaphore?.wait()
    return state.withLock { !$0.isOver }
  }

  /// Ends the turn of the caller, whose it is.
  public func pass() {
    let next = state.withLock { state in
      state.current += 1
      return state.waiting.removeValue(forKey: state.current)
    }
    next?.signal()
  }

  /// Ends all turns: where one thread has failed, the others go home.
  public func end() {
    let waiting = state.withLock { state in
      state.isOver = true
      defer { state.waiting = [:] }
      return state.waiting.values.map { $0 }
    }
    for semaphore in waiting { semaphore.signal() }
  }
}
