import CSluiceLinux
import Glibc
import SluiceTestSupport

@testable import SluicePipeline

/// Where a stage of a model runs.
protocol ModelHost: Sendable {
  var taskExecutor: any TaskExecutor { get }
  func run(
    _ stage: @Sendable () async -> Result<[UInt64], ModelPipeline.Broken>
  ) async -> Result<[UInt64], ModelPipeline.Broken>
}

/// The stages of a pre-dump with the real channels, ring, reorder buffer and write queue, joined as `Stages` joins
/// them; only that nothing is found, nothing read, and what is written is the numbers of chunks.
struct ModelPipeline: Sendable {
  struct Chunk: ~Copyable, Sendable {
    let sequence: UInt64
    var buffer: PageBuffer?
  }
  struct Broken: Error {}
  typealias Channel = BoundedChannel<Chunk, Broken>

  let shape: PipelineShape
  let ring: BufferRing
  private let plans: Channel
  private let chunks: Channel
  private let pageSize = Int(sluice_page_size())
  /// A stage takes its time at each chunk: up to so many microseconds; nil for turns that it leaves to others.
  private let longestDelay: UInt32?

  init(_ shape: PipelineShape, longestDelay: UInt32? = nil) throws {
    self.shape = shape
    self.longestDelay = longestDelay
    // Of two pages, so that a chunk can have two parts.
    ring = try BufferRing(
      layout: BufferLayout(count: shape.buffers, chunkBytes: 2 * pageSize, pageSize: pageSize))
    plans = Channel(capacity: shape.planCapacity, senderBatch: shape.planBatch)
    chunks = Channel(
      capacity: shape.chunkCapacity, receiverBatch: shape.chunkBatch, senderBatch: shape.chunkRoomBatch)
  }

  /// - Returns: the numbers of the chunks in the order they were written; nil when a stage failed or was cancelled.
  func run(walker: some ModelHost, readers: [some ModelHost], writer: some ModelHost, engine: any WriteEngine)
    async
    -> [UInt64]?
  {
    var (written, hasFailed, readersLeft): ([UInt64], Bool, Int) = ([], false, readers.count)
    await withTaskGroup(of: (PipelineShape.Stage, Result<[UInt64], Broken>).self) { group in
      group.addTask(executorPreference: walker.taskExecutor) { (.walker, await walker.run { await walk() }) }
      for (number, reader) in readers.enumerated() {
        group.addTask(executorPreference: reader.taskExecutor) {
          (.reader, await reader.run { await read(number: UInt64(number)) })
        }
      }
      group.addTask(executorPreference: writer.taskExecutor) {
        (.writer, await writer.run { await write(with: engine) })
      }
      for await (stage, result) in group {
        switch result {
        case .success(let numbers):
          written += numbers
          if stage == .reader { readersLeft -= 1 }
          if stage == .reader && readersLeft == 0 { chunks.finish() }
        case .failure(let broken):
          hasFailed = true
          plans.fail(broken)
          chunks.fail(broken)
          group.cancelAll()
        }
      }
    }
    return hasFailed ? nil : written
  }

  // MARK: Stages

  private func walk() async -> Result<[UInt64], Broken> {
    var pace = makePace(1)
    for sequence in 0..<shape.plans {
      if Task.isCancelled || shape.isFailing(.walker, at: sequence) { return .failure(Broken()) }
      var plan = Chunk(sequence: sequence, buffer: nil)
      if shape.flaw != .buffersTakenByReaders {
        plan.buffer = await ring.take()
        if plan.buffer == nil { return .failure(Broken()) }
      }
      await pace.pause()
      let refused = await plans.send(plan)
      if refused != nil { return .failure(Broken()) }
    }
    plans.finish()
    return .success([])
  }

  private func read(number: UInt64) async -> Result<[UInt64], Broken> {
    var pace = makePace(2 + number)
    do throws(Broken) {
      while var plan = try await nextPlan() {
        if Task.isCancelled || shape.isFailing(.reader, at: plan.sequence) { throw Broken() }
        if plan.buffer == nil {
          plan.buffer = await ring.take()
          if plan.buffer == nil { throw Broken() }
        }
        await pace.pause()
        let refused = await chunks.send(plan)
        if refused != nil { throw Broken() }
      }
    } catch {
      return .failure(error)
    }
    return Task.isCancelled ? .failure(Broken()) : .success([])
  }

  private func nextPlan() async throws(Broken) -> Chunk? {
    if let plan = try plans.receiveIfAny() { return plan }
    if shape.flaw != .noFlush { chunks.flush() }
    return try await plans.receive()
  }

  private func write(with engine: any WriteEngine) async -> Result<[UInt64], Broken> {
    let null = unsafe sluice_open_at(sluice_current_directory(), "/dev/null", SLUICE_OPEN_WRITE)
    defer { _ = sluice_close(null) }
    let queue = WriteQueue(engine: engine, depth: shape.depth, pageSize: pageSize)
    var result: Result<[UInt64], Broken>
    do {
      result = .success(try await writeChunks(to: null, through: queue))
    } catch {
      result = .failure(Broken())
    }
    do throws(WriteQueue.Failed) { try await queue.drain() } catch { result = .failure(Broken()) }
    return result
  }

  private func writeChunks(to null: Int32, through queue: WriteQueue) async throws -> [UInt64] {
    var pace = makePace(0)
    var ordered = ReorderBuffer<Chunk>(capacity: shape.window)
    var written: [UInt64] = []
    while let chunk = try await chunks.receive() {
      let sequence = chunk.sequence
      if Task.isCancelled || shape.isFailing(.writer, at: sequence) { throw Broken() }
      guard ordered.hasRoom(for: sequence) else { continue }
      ordered.insert(chunk, sequence: sequence)
      while let next = ordered.removeNext() {
        written.append(next.sequence)
        try await write(next, to: null, through: queue)
      }
      await pace.pause()
    }
    if Task.isCancelled { throw Broken() }
    return written
  }

  /// In no, one or two parts.
  private func write(_ chunk: consuming Chunk, to null: Int32, through queue: WriteQueue) async throws {
    let parts = (0..<Int(chunk.sequence % 3)).map {
      WriteQueue.Part(position: $0 * pageSize, count: pageSize)
    }
    guard let buffer = chunk.buffer.take() else {
      preconditionFailure("a reader sends no chunk without a buffer")
    }
    try await queue.write(buffer, parts: parts, to: null, at: 0)
  }

  // MARK: Pace

  private struct Pace {
    var random: SplitMix
    let longestDelay: UInt32?

    mutating func pause() async {
      guard let longestDelay else {
        for _ in 0..<Int.random(in: 0..<4, using: &random) { await Task.yield() }
        return
      }
      if longestDelay > 0 { usleep(.random(in: 0...longestDelay, using: &random)) }
    }
  }

  private func makePace(_ number: UInt64) -> Pace {
    Pace(random: SplitMix(seed: shape.seed << 8 | number), longestDelay: longestDelay)
  }
}
