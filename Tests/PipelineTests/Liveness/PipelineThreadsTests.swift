import CSluiceLinux
import Glibc
import SluiceTestSupport
import Testing

@testable import SluicePipeline

/// The same pipeline as in `LivenessTests`, on threads, as it really runs.
@Suite(.timeLimit(.minutes(15))) struct PipelineThreadsTests {
  @Test(arguments: 0..<4) func `every shape comes to its end`(part: UInt64) async throws {
    for seed in part * 50..<(part + 1) * 50 {
      var shape = PipelineShape(seed: seed)
      // A hand-on between threads takes some 10 µs.
      if case .cancellation(let jobs) = shape.mishap { shape.mishap = .cancellation(after: jobs * 10) }
      let run = try ThreadedPipeline(shape)
      let result = await Self.inTime(shape) { await run.run() }
      #expect(run.model.ring.takenCount == 0, "\(shape)")
      let whole = Array(0..<shape.plans)
      switch shape.mishap {
      case nil: #expect(result == whole, "\(shape)")
      case .failure: #expect(result == nil || shape.plans == 0 && result == whole, "\(shape)")
      case .cancellation: #expect(result == nil || result == whole, "\(shape)")
      }
    }
  }

  /// libdispatch makes a thread of the pool from the one that resumes a task there, and it inherits its processors:
  /// so a run whose threads are pinned keeps its tasks on an executor that is not.
  @Test func `pinned threads pin no other`() async {
    await #expect(processExitsWith: .success) {
      let seen = try await PipelineThreadsTests.affinities(tasksOnPool: false)
      #expect(seen.strangers.isEmpty)
      // Or nothing was looked at.
      #expect(seen.pinned.isSuperset(of: ["model-walker", "model-read-0", "model-write"]))
    }
  }

  /// Were it not so, the test above could not fail.
  @Test func `pinned threads whose tasks are on the pool are seen to pin its threads`() async {
    await #expect(processExitsWith: .success) {
      // Which thread makes a new one is up to libdispatch: on a busy machine it takes more than one run.
      for _ in 0..<8 {
        let seen = try await PipelineThreadsTests.affinities(tasksOnPool: true)
        if seen.strangers.contains(where: { $0.hasSuffix("default-qos: 0") }) { return }
      }
      Issue.record("no thread of the pool was pinned in any of the runs")
    }
  }

  /// What threads are kept on processor 0 in a process in which pinned threads end when the pool has none.
  private static func affinities(tasksOnPool: Bool) async throws -> AffinityWatch.Seen {
    // A watchdog: the signal ends this process.
    alarm(UInt32(longestWait.components.seconds))
    let watch = try AffinityWatch()
    var shape = PipelineShape(seed: 1)
    shape.mishap = nil
    let run = try ThreadedPipeline(shape, cpus: [0], tasksOnPool: tasksOnPool) {
      // libdispatch lets a thread go that had nothing to do for 5 s.
      while Kernel.threadIDs.contains(where: { Kernel.threadName(id: $0)?.hasSuffix("default-qos") == true })
      {
        usleep(10_000)
      }
    }
    #expect(await run.run() == Array(0..<shape.plans))
    return watch.stop()
  }

  /// A watchdog, which ends a run that has come to a stand, and says which.
  private static func inTime<Result: Sendable>(
    _ shape: PipelineShape, _ body: @escaping @Sendable () async -> Result?
  ) async -> Result? {
    let task = Task { await body() }
    let watchdog = Task {
      try await Task.sleep(for: longestWait)
      Issue.record("it has come to a stand: \(shape)")
      task.cancel()
    }
    defer { watchdog.cancel() }
    return await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
  }
}

/// A model with its threads.
private struct ThreadedPipeline {
  let model: ModelPipeline
  private let shape: PipelineShape
  private let cpus: [UInt32]?
  private let tasksOnPool: Bool
  private let atEndOfWalk: @Sendable () -> Void

  /// - Parameters:
  ///   - cpus: the processors that the stages' threads are kept on.
  ///   - tasksOnPool: whether the tasks that join the stages run on the shared pool, which is a mistake.
  ///   - atEndOfWalk: what the walker's thread does last.
  init(
    _ shape: PipelineShape, cpus: [UInt32]? = nil, tasksOnPool: Bool = false,
    atEndOfWalk: @escaping @Sendable () -> Void = {}
  ) throws {
    var random = SplitMix(seed: shape.seed)
    model = try ModelPipeline(shape, longestDelay: [0, 0, 50, 500].randomElement(using: &random))
    self.shape = shape
    self.cpus = cpus
    self.tasksOnPool = tasksOnPool
    self.atEndOfWalk = atEndOfWalk
  }

  func run() async -> [UInt64]? {
    let coordinator = makeExecutor(name: "coordinator")
    defer { coordinator.shutdown() }
    let task = Task(executorPreference: tasksOnPool ? nil : coordinator) { await stages() }
    return await withTaskCancellationHandler {
      if case .cancellation(let microseconds) = shape.mishap {
        try? await Task.sleep(for: .microseconds(microseconds))
        task.cancel()
      }
      return await task.value
    } onCancel: {
      task.cancel()
    }
  }

  @concurrent private func stages() async -> [UInt64]? {
    let walker = makeExecutor(name: "model-walker", cpus: cpus)
    let readers = (0..<shape.readers).map { makeExecutor(name: "model-read-\($0)", cpus: cpus) }
    let engine = makeEngine()
    defer {
      for executor in [walker] + readers { executor.shutdown() }
      engine.shutdown()
    }
    return await model.run(
      walker: Host(on: .thread(walker), atEnd: atEndOfWalk), readers: readers.map { Host(on: .thread($0)) },
      writer: Host(on: .engine(engine)), engine: engine)
  }

  private func makeEngine() -> any WriteEngine {
    if shape.seed % 2 == 1,
      let ring = try? RingExecutor(name: "model-write", depth: shape.depth, buffers: model.ring, cpus: cpus)
    {
      return ring
    }
    return makeThreadEngine(name: "model-write", workers: shape.depth, cpus: cpus)
  }

  /// An actor on a thread of its own, as the stages are.
  private actor Host: ModelHost {
    enum Place: Sendable {
      case thread(ThreadExecutor)
      case engine(any WriteEngine)
    }

    private nonisolated let place: Place
    private let atEnd: @Sendable () -> Void

    nonisolated var taskExecutor: any TaskExecutor {
      switch place {
      case .thread(let executor): executor
      case .engine(let engine): engine.executor
      }
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor {
      switch place {
      case .thread(let executor): unsafe executor.asUnownedSerialExecutor()
      case .engine(let engine): unsafe engine.unownedExecutor
      }
    }

    init(on place: Place, atEnd: @escaping @Sendable () -> Void = {}) {
      self.place = place
      self.atEnd = atEnd
    }

    func run(
      _ stage: @Sendable () async -> Result<[UInt64], ModelPipeline.Broken>
    ) async -> Result<[UInt64], ModelPipeline.Broken> {
      defer { atEnd() }
      return await stage()
    }
  }
}
