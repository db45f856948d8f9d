internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// The second stage: has the buffers of the plans filled. There can be several; each has a thread of its own.
actor ReadStage {
  /// What a reader came across.
  struct Counts: Sendable {
    /// How long the reader waited for something to read.
    var withoutPlan = StageWait()
    /// How long it waited for the next stage to take what was read.
    var chunksFull = StageWait()
    /// Where there are several nodes: what was read of what each holds, in the order of `Placement.nodes`; last what was read
    /// of pages of which it is not known where they were.
    var nodes: [NodeBytes] = []
    /// How long each reading of a chunk took; nil where nobody observes.
    var durations: DurationHistogram?

    static func += (total: inout Counts, other: Counts) {
      total.withoutPlan += other.withoutPlan
      total.chunksFull += other.chunksFull
      if total.nodes.count < other.nodes.count {
        total.nodes += Array(repeating: NodeBytes(), count: other.nodes.count - total.nodes.count)
      }
      for (index, bytes) in other.nodes.enumerated() { total.nodes[index] += bytes }
      total.durations.add(other.durations)
    }
  }

  private nonisolated let executor: ThreadExecutor
  private nonisolated let reader: any PageSourceReader
  private let pageSize: Int
  private let plans: PlanChannel
  private let chunks: ChunkChannel
  private let readTimeLimit: Duration
  private let hashSeed: UInt64?
  private let findsZeros: Bool
  private let node: ReaderNode?
  private let processor: Int?
  private var counts = Counts()

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  /// - Parameters:
  ///   - hashSeed: pages are hashed with it while they are in the processor's cache; nil where they are not hashed.
  ///   - processor: the number of the processor to begin on, where each reader must have its own at once; nil leaves that to
  ///     the scheduler, which takes milliseconds.
  ///   - findsZeros: whether pages of zeros are looked for here, for the same reason; else the last stage does.
  ///   - node: the one that the reader is on; nil where there is one node.
  ///   - isTimed: whether it is counted how long each chunk takes.
  init(
    reader: any PageSourceReader, pageSize: Int, plans: PlanChannel, chunks: ChunkChannel,
    readTimeLimit: Duration, hashSeed: UInt64?, findsZeros: Bool, processor: Int? = nil,
    node: ReaderNode? = nil, isTimed: Bool = false,
    executor: ThreadExecutor
  ) {
    if isTimed { counts.durations = DurationHistogram() }
    self.findsZeros = findsZeros
    self.processor = processor
    self.reader = reader
    self.pageSize = pageSize
    self.plans = plans
    self.chunks = chunks
    self.readTimeLimit = readTimeLimit
    self.hashSeed = hashSeed
    self.node = node
    self.executor = executor
  }

  /// Reads plans until there are no more.
  func run() async throws(SluiceError) -> Counts {
    if let processor { sluice_move_to_processor(UInt32(processor)) }
    var began = sluice_monotonic_nanoseconds()
    while var plan = try await nextPlan() {
      counts.withoutPlan.add(since: began, bytes: plan.byteCount)
      // A read takes some 100 µs and cannot be interrupted; between two, cancellation is obeyed.
      guard !Task.isCancelled else { throw .cancelled }
      let isNear = node.map { $0.placing.settle(plan.buffer) }
      let started = counts.durations == nil ? 0 : sluice_monotonic_nanoseconds()
      do { try reader.fill(&plan) } catch { throw SluiceError(of: error) }
      if let mistake = plan.mistake { throw mistake }
      counts.durations?.add(since: started, bytes: plan.byteCount)
      if let node, let isNear {
        counts.nodes.add(
          plan.held, read: plan.byteCount, at: isNear && plan.buffer.part == node.place ? node.slot : nil)
      }
      if let hashSeed { plan.buffer.hashPages(seed: hashSeed) }
      let chunk = PageChunk(plan, pageSize: pageSize, findsZeros: findsZeros)
      let byteCount = chunk.byteCount
      began = sluice_monotonic_nanoseconds()
      guard await chunks.send(.chunk(chunk)) == nil else { throw .cancelled }
      counts.chunksFull.add(since: began, bytes: byteCount)
      began = sluice_monotonic_nanoseconds()
    }
    guard !Task.isCancelled else { throw .cancelled }
    return counts
  }

  /// The same, but not longer than for as long as a read may take: then the thread is left behind in it.
  nonisolated func runUnlessStuck() async throws(SluiceError) -> Counts {
    guard let clock = (reader as? any TimedReader)?.clock else { return try await run() }
    let watchdog = ReadWatchdog(clock: clock, limit: readTimeLimit)
    return try await watchdog.run(on: executor) { () async throws(SluiceError) in try await self.run() }
  }

  private func nextPlan() async throws(SluiceError) -> ReadPlan? {
    if let plan = try plans.receiveIfAny() { return plan }
    // The next stage is woken for several chunks at once. Now that nothing more comes from here for a while, it
    // gets what there is: else every buffer might end up there, and nobody would go on.
    chunks.flush()
    return try await plans.receive()
  }
}

/// A reader that can be stuck in a read for ever, and tells of which read it is in.
protocol TimedReader: PageSourceReader {
  var clock: ReadClock { get }
}
