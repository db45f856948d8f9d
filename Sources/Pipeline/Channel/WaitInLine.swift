/// What a lock guards and waiters stand in line for.
protocol WaitedFor: ~Copyable, SendableMetatype {
  /// The number of the waiter that came last.
  var lastID: UInt64 { get set }
}

extension Locked where Value: WaitedFor & ~Copyable {
  /// Suspends until somebody resumes the waiter, or the task is cancelled.
  ///
  /// - Parameters:
  ///   - cancelled: the result when the task is cancelled meanwhile.
  ///   - isolation: the caller's, as `SuspendedTask.suspend` wants it.
  ///   - enter: puts the waiter in line under a number, or says who is resumed at once, and with what; it is told whether
  ///     the task is cancelled already.
  ///   - leave: takes the waiter with that number out of the line, where it still is in it.
  func waitInLine<Result: Sendable>(
    orElse cancelled: Result, isolation: isolated (any Actor)?,
    enter: (inout Value, UInt64, SuspendedTask<Result>, Bool) -> (SuspendedTask<Result>, Result)?,
    leave: @Sendable (inout Value, UInt64) -> SuspendedTask<Result>?
  ) async -> Result {
    let id = withLock { value in
      value.lastID += 1
      return value.lastID
    }
    return await withTaskCancellationHandler {
      // The capture keeps the body on the caller's actor.
      await SuspendedTask<Result>.suspend(isolation: isolation) { task in
        // `isCancelled` is read under the lock. A cancellation that comes later calls `leave` after this task has entered
        // the line, and removes it from there.
        if let (waiter, result) = withLock({ enter(&$0, id, task, Task.isCancelled) }) {
          waiter.resume(returning: result)
        }
      }
    } onCancel: {
      withLock { leave(&$0, id) }?.resume(returning: cancelled)
    }
  }
}
