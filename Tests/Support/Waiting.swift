import Foundation

/// How long a test waits for anything. It says nothing about speed: whatever takes so long has hung.
public let longestWait = Duration.seconds(300)

/// Runs `body`, which may block, on a thread of its own: the pool has one thread per CPU, and the code under
/// test needs it.
public func blocking<Result: Sendable>(
  _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread {
      continuation.resume(with: Swift.Result { try body() })
    }
  }
}

/// Waits until something can be read from the descriptor, or it is at its end.
///
/// - Throws: `TestFailure` after `longestWait`.
func waitUntilReadable(_ descriptor: Int32, _ waitingFor: String) throws {
  let deadline = ContinuousClock.now + longestWait
  while true {
    let left = (deadline - .now).components
    let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
    guard milliseconds > 0 else { throw TestFailure("waited too long for \(waitingFor)") }
    var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    let ready = unsafe poll(&watched, 1, Int32(milliseconds))
    if ready > 0 { return }
    guard ready == 0 || errno == EINTR else { throw TestFailure.systemCall("waiting for \(waitingFor)") }
  }
}

/// Waits until a process that runs already has started a clock tick ago or more (10 ms).
///
/// Images that are made sooner are no base for a round upon them, by CRIU's rule: with clocks that coarse, the process
/// might have started after them.
func untilStartIsPast() async throws {
  try await Task.sleep(for: .milliseconds(20))
}

/// Waits until the condition holds.
///
/// - Throws: `TestFailure` after `longestWait`.
public func eventually(_ what: String, _ condition: () throws -> Bool) async throws {
  let deadline = ContinuousClock.now + longestWait
  while try !condition() {
    guard ContinuousClock.now < deadline else { throw TestFailure("waited too long until \(what)") }
    try await Task.sleep(for: .milliseconds(1))
  }
}

/// Acts as soon as the condition holds, on a thread of its own: on a busy machine a test's task may get its turn seconds
/// later, when it is too late.
///
/// - Throws: `TestFailure` after `longestWait`, and what the condition throws.
public func promptly(
  _ what: String, when condition: @escaping @Sendable () throws -> Bool,
  do action: @escaping @Sendable () -> Void
) async throws {
  try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
    Thread.detachNewThread {
      let deadline = ContinuousClock.now + longestWait
      continuation.resume(
        with: Result {
          while try !condition() {
            guard ContinuousClock.now < deadline else { throw TestFailure("waited too long until \(what)") }
            Thread.sleep(forTimeInterval: 0.001)
          }
          action()
        })
    }
  }
}
