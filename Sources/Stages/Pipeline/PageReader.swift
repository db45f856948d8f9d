internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// The second stage: fills the buffers of the plans with the process' memory. There can be several; each
/// has a thread of its own.
actor PageReader {
  /// What a reader came across.
  struct Counts: Sendable {
    /// Bytes that were there when they were planned and were gone when they should be read.
    var vanishedBytes: UInt64 = 0
    /// Bytes that the process itself may not read at this moment.
    var forcedBytes: UInt64 = 0
    /// How long the reader waited for something to read.
    var withoutPlan = StageWait()
    /// How long it waited for the writer to take what was read.
    var chunksFull = StageWait()

    static func += (total: inout Counts, other: Counts) {
      total.vanishedBytes += other.vanishedBytes
      total.forcedBytes += other.forcedBytes
      total.withoutPlan += other.withoutPlan
      total.chunksFull += other.chunksFull
    }
  }

  private nonisolated let executor: ThreadExecutor
  private let tasks: [DumpedProcess]
  private let pageSize: Int
  private let plans: PlanChannel
  private let chunks: ChunkChannel
  private nonisolated let watch = ReadClock()
  private let readTimeLimit: Duration
  private let hashSeed: UInt64?
  private var turns = MmapLockPacer()
  private var counts = Counts()

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  /// - Parameter hashSeed: what was read is hashed with it; nil where it is not hashed.
  init(
    tasks: [DumpedProcess], pageSize: Int, plans: PlanChannel, chunks: ChunkChannel, readTimeLimit: Duration,
    hashSeed: UInt64?, executor: ThreadExecutor
  ) {
    self.tasks = tasks
    self.pageSize = pageSize
    self.plans = plans
    self.chunks = chunks
    self.readTimeLimit = readTimeLimit
    self.hashSeed = hashSeed
    self.executor = executor
  }

  /// Reads plans until there are no more.
  func run() async throws(SluiceError) -> Counts {
    var began = sluice_monotonic_nanoseconds()
    while var plan = try await nextPlan() {
      counts.withoutPlan.add(since: began, bytes: plan.buffer.byteCount)
      // A read takes some 100 µs and cannot be interrupted; between two, cancellation is obeyed.
      guard !Task.isCancelled else { throw .cancelled }
      try fill(&plan.buffer, of: tasks[plan.task])
      let (data, byteCount) = (NonZeroExtents(of: plan.buffer, pageSize: pageSize), plan.buffer.byteCount)
      began = sluice_monotonic_nanoseconds()
      let refused = await chunks.send(
        FilledChunk(
          sequence: plan.sequence, task: plan.task, endsTask: plan.endsTask, buffer: plan.buffer, data: data))
      guard refused == nil else { throw .cancelled }
      counts.chunksFull.add(since: began, bytes: byteCount)
      began = sluice_monotonic_nanoseconds()
    }
    guard !Task.isCancelled else { throw .cancelled }
    return counts
  }

  /// The same, but not longer than for as long as a read may take: then the thread is left behind in it.
  nonisolated func runUnlessStuck() async throws(SluiceError) -> Counts {
    let watchdog = ReadWatchdog(watch: watch, limit: readTimeLimit)
    return try await watchdog.run(on: executor) { () async throws(SluiceError) in try await self.run() }
  }

  private func nextPlan() async throws(SluiceError) -> ReadPlan? {
    if let plan = try plans.receiveIfAny() { return plan }
    // The writer is woken for several chunks at once. Now that nothing more comes from here for a while, it
    // gets what there is: else every buffer might end up there, and nobody would go on.
    chunks.flush()
    return try await plans.receive()
  }

  private func fill(_ buffer: inout PageBuffer, of task: DumpedProcess) throws(SluiceError) {
    let memory = RemoteMemory(of: task.process, watch: watch)
    let outcome = try task.attempt { () throws(TargetError) in
      unsafe try memory.read(
        table: buffer.runTable, runCount: buffer.runCount, into: buffer.bytes, turns: &turns)
    }
    buffer.keep(runCount: outcome?.runCount ?? 0, byteCount: outcome?.byteCount ?? 0)
    if let hashSeed { buffer.hashPages(seed: hashSeed) }
    counts.vanishedBytes += outcome?.vanishedBytes ?? 0
    counts.forcedBytes += outcome?.forcedBytes ?? 0
  }
}
