internal import SluicePipeline

/// The thread on which the tasks of a run are, apart from the stages' own.
///
/// Tasks that wait for our threads are resumed by them. A thread of libdispatch that is made on such an occasion would
/// inherit our thread's CPUs: so the tasks of a run are on an executor of its own, which is on all CPUs.
enum Coordinator {
  /// Runs `body` there, whatever actor the caller is on. Where the caller's task is cancelled, so is that of `body`.
  ///
  /// `body` has a task of its own. Were it the caller's, preferring the thread for a while
  /// (`withTaskExecutorPreference`), an actor on the shared pool would come along with its task, and go on there
  /// afterwards: nothing moves an actor that is not waiting. It would then wait for the end of the thread that it is on.
  static func run<Success: Sendable>(
    on executor: ThreadExecutor, _ body: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async -> Result<Success, SluiceError> {
    let task = Task(executorPreference: executor) { await Result(body) }
    return await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
  }

  /// The same on a thread that is made for it, and ends with it.
  ///
  /// - Throws: what `body` throws, or `SluiceError` with `system` where there is no thread.
  static func run<Success: Sendable>(
    _ body: @escaping @Sendable () async throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    let executor = try StageThreads.make("sluice-coord")
    defer { executor.shutdown() }
    return try await run(on: executor, body).get()
  }
}
