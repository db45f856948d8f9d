internal import SluicePipeline
internal import SluiceTarget

/// Ends a reader that is stuck in a read.
///
/// A thread in process_vm_readv can be waiting for somebody else, and nothing gets it out but SIGKILL to our whole
/// process. So the reader runs in a task that is not waited for: when the read takes too long, the thread is left
/// behind in it, with the buffer that the kernel may still write to.
struct ReadWatchdog: Sendable {
  /// How often it looks within the limit. What counts is looks, and not time: we may have been stopped meanwhile.
  private static let looks = 10

  let clock: ReadClock
  /// How long one read may take. A good one takes some 100 µs; from slow swap space, seconds.
  let limit: Duration

  /// Runs `body` on `executor`, which is abandoned when `body` is stuck.
  ///
  /// - Throws: what `body` throws, or that a read took too long.
  func run<Success: Sendable>(
    on executor: ThreadExecutor, _ body: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    let first = FirstResult<Success>()
    let task = Task(executorPreference: executor) {
      first.give(await Result(body))
    }
    let guardian = Task {
      guard let call = await stuckCall() else { return }
      executor.abandon()
      first.give(.failure(error(for: call)))
    }
    defer { guardian.cancel() }
    let result = await withTaskCancellationHandler {
      await first.wait()
    } onCancel: {
      task.cancel()
    }
    return try result.get()
  }

  /// The read that was under way at all looks in a row; nil when the task is cancelled.
  private func stuckCall() async -> ReadClock.Call? {
    var (seen, count) = (clock.callUnderWay, 0)
    while count < Self.looks {
      guard (try? await Task.sleep(for: limit / Self.looks)) != nil else { return nil }
      let now = clock.callUnderWay
      count = now != nil && now == seen ? count + 1 : 0
      seen = now
    }
    return seen
  }

  private func error(for call: ReadClock.Call) -> SluiceError {
    SluiceError(
      .io,
      "reading at 0x\(String(call.address, radix: 16)) timed out after \(limit.components.seconds) s:"
        + " the handler of its page faults (a userfaultfd of another process, a filesystem) does not answer")
  }
}
