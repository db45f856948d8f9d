internal import SluicePipeline

/// Waits for a run that may be in the kernel for ever, on a disk or a process that does not answer, and leaves it behind
/// then.
///
/// Nothing gets a thread out of there, neither a cancellation nor, on some filesystems (FUSE, NFS), a signal. So the run is
/// in a task of its own, which everything belongs to that it has: as long as anybody wants to know what comes of it, it is
/// waited for. Where it is over for everybody but the disk, it has a while to clean up. What is left behind goes on from
/// where it hangs when the disk answers again, and cleans up then.
final class Patience<Success: Sendable>: Sendable {
  private let first = FirstResult<Success>()
  private let end = Locked<Task<Void, Never>?>(nil)

  /// Runs `body` to its end, or until it was left behind.
  ///
  /// - Throws: what `body` throws, or the error of `endSoon`.
  func run(
    _ body: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    let task = Task { [first] in
      first.give(await Result(body))
    }
    defer { end.withLock { $0?.cancel() } }
    let result = await withTaskCancellationHandler {
      await first.wait()
    } onCancel: {
      task.cancel()
      endSoon(.cancelled)
    }
    return try result.get()
  }

  /// From now on the run is only waited for so that it can clean up; then it is left behind, and the error thrown.
  func endSoon(_ error: SluiceError) {
    end.withLock { end in
      guard end == nil else { return }
      end = Task.detached { [first] in
        guard (try? await Task.sleep(for: leftBehindAfter)) != nil else { return }
        first.give(.failure(error.ofOneLeftBehind))
      }
    }
  }

  /// Leaves the run behind at once.
  func endNow(_ error: SluiceError) {
    first.give(.failure(error))
  }
}

/// Longer than a disk takes that is slow, and not dead, for what is in flight.
private let leftBehindAfter = Duration.seconds(10)
