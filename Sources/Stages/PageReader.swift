internal import SluicePipeline
internal import SluiceTarget

/// The second stage: fills the buffers of the plans with the process' memory, on a thread of its own.
actor PageReader {
  /// What this reader came across.
  struct Counts: Sendable {
    /// Bytes that were there when they were planned and were gone when they should be read.
    var vanishedBytes: UInt64 = 0
    /// Bytes that the process itself may not read at this moment.
    var forcedBytes: UInt64 = 0
  }

  private nonisolated let executor: ThreadExecutor
  private let memory: RemoteMemory
  private let plans: PlanChannel
  private let chunks: ChunkChannel
  private var counts = Counts()

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  init(memory: RemoteMemory, plans: PlanChannel, chunks: ChunkChannel, executor: ThreadExecutor) {
    self.memory = memory
    self.plans = plans
    self.chunks = chunks
    self.executor = executor
  }

  /// Reads plans until there are no more.
  func run() async throws(PreDumpError) -> Counts {
    while var plan = try await plans.receive() {
      // A read takes some 200 µs and cannot be interrupted; between two, cancellation is obeyed.
      guard !Task.isCancelled else { throw .cancelled }
      try fill(&plan.buffer)
      let refused = await chunks.send(FilledChunk(sequence: plan.sequence, buffer: plan.buffer))
      guard refused == nil else { throw .cancelled }
    }
    guard !Task.isCancelled else { throw .cancelled }
    return counts
  }

  private func fill(_ buffer: inout PageBuffer) throws(PreDumpError) {
    let outcome = try onTarget { () throws(TargetError) in
      unsafe try memory.read(table: buffer.runTable, runCount: buffer.runCount, into: buffer.bytes)
    }
    buffer.keep(runCount: outcome.runCount, byteCount: outcome.byteCount)
    counts.vanishedBytes += outcome.vanishedBytes
    counts.forcedBytes += outcome.forcedBytes
  }
}
