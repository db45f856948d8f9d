import Glibc
import SluiceTestSupport

@testable import SluicePipeline

/// An executor without a thread: jobs run where `run` is called, one after the other, in an order that the seed
/// picks.
///
/// So a run can be had again from its seed. And where nothing is left to do although a task has not ended, its parts
/// wait for each other: no time limit is needed to see that.
final class SeededExecutor: SerialExecutor, TaskExecutor {
  private enum Work {
    case job(UnownedJob)
    case body(@Sendable () -> Void)
  }

  private struct State: ~Copyable {
    var work: [Work] = []
    var random: SplitMix
  }

  private let state: Locked<State>

  init(seed: UInt64) {
    state = Locked(State(random: SplitMix(seed: seed)))
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    state.withLock { $0.work.append(.job(job)) }
  }

  /// Runs `body` at some time from now on.
  func perform(_ body: @escaping @Sendable () -> Void) {
    state.withLock { $0.work.append(.body(body)) }
  }

  /// Runs a task until there is nothing left to do.
  ///
  /// - Parameter jobs: the task is cancelled after so many.
  /// - Returns: what the task has come to; nil when its parts wait for each other. It is cancelled then, so that
  ///   nothing is left of it.
  func run<Result: Sendable>(
    cancelledAfter jobs: Int = .max, _ body: @escaping @Sendable () async -> Result
  ) -> Result? {
    let result = Locked<Result?>(nil)
    let task = Task(executorPreference: self) {
      let value = await body()
      result.withLock { $0 = value }
    }
    var done = 0
    while done < jobs, runOne() { done += 1 }
    if done == jobs { task.cancel() }
    while runOne() {}
    defer {
      task.cancel()
      while runOne() {}
    }
    return result.withLock { $0 }
  }

  private func runOne() -> Bool {
    let work = state.withLock { state in
      state.work.indices.randomElement(using: &state.random).map { state.work.remove(at: $0) }
    }
    switch work {
    case .job(let job):
      unsafe job.runSynchronously(
        isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
    case .body(let body): body()
    case nil: return false
    }
    return true
  }
}

/// A write engine on a seeded executor: writes complete in any order, some only after they were tried again.
final class SeededWriteEngine: WriteEngine {
  private let thread: SeededExecutor
  private let random: Locked<SplitMix>
  private let handler = Locked<(@Sendable (WriteCompletion) -> Void)?>(nil)

  init(on executor: SeededExecutor, seed: UInt64) {
    thread = executor
    random = Locked(SplitMix(seed: seed))
  }

  var kind: String { "seeded" }
  var executor: any SerialExecutor & TaskExecutor { thread }

  func setCompletionHandler(_ handler: @escaping @Sendable (WriteCompletion) -> Void) {
    self.handler.withLock { $0 = handler }
  }

  func start(_ request: WriteRequest) {
    let isInterrupted = random.withLock { Int.random(in: 0..<4, using: &$0) == 0 }
    let result = unsafe isInterrupted ? -Int(EINTR) : request.bytes.count
    let completion = WriteCompletion(token: request.token, result: result)
    thread.perform { [self] in handler.withLock { $0 }?(completion) }
  }

  func shutdown() {}
}
