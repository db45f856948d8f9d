internal import CSluiceLinux
internal import SluicePipeline

/// The last stage: puts chunks into order and hands them to the sink, on the sink's own thread.
actor SinkStage {
  /// What was written of a process.
  struct Counts: Sendable {
    var pagesWritten: UInt64 = 0
    /// Bytes of the pages that were written.
    var bytesWritten: UInt64 = 0
    /// Pages that are all zeros.
    var zeroPages: UInt64 = 0
    /// Bytes of zeros that need not be written.
    var holeBytes: UInt64 = 0

    static func += (total: inout Counts, other: Counts) {
      total.pagesWritten += other.pagesWritten
      total.bytesWritten += other.bytesWritten
      total.zeroPages += other.zeroPages
      total.holeBytes += other.holeBytes
    }
  }

  /// What the writing came to.
  struct Result: Sendable {
    var owners: [PageOwner: Counts] = [:]
    /// The processes, in the order in which they began.
    var order: [PageOwner] = []
    /// From the first chunk to the end of the last write, in nanoseconds.
    var writingNanoseconds: UInt64 = 0
    /// How long the stage waited for something to write.
    var withoutChunk = StageWait()
    /// How long the sink took for each chunk; nil where nobody observes.
    var durations: DurationHistogram?
  }

  private nonisolated let executor: any SinkExecutor
  private let sink: any PageSink
  private let source: any PageSource
  private let chunks: ChunkChannel
  private let progress: ProgressFeed
  private let capacity: Int
  private let pageSize: Int
  private let expected: UInt64
  private let rate: RateLimit?
  private let gate: StageGate?
  private var result = Result()

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  /// - Parameters:
  ///   - layout: of the buffers.
  ///   - expected: how much is written of the first process, as far as can be told, in bytes.
  ///   - rate: how fast chunks are written at most.
  ///   - gate: what this stage waits for before it takes anything; nil where it begins at once.
  ///   - isTimed: whether it is counted how long each chunk takes.
  ///   - executor: the sink's, or a thread of the runtime.
  init(
    sink: any PageSink, source: any PageSource, chunks: ChunkChannel, progress: ProgressFeed,
    layout: BufferLayout, expected: UInt64, rate: RateLimit?, gate: StageGate? = nil,
    isTimed: Bool = false, executor: any SinkExecutor
  ) {
    if isTimed { result.durations = DurationHistogram() }
    self.sink = sink
    self.source = source
    self.chunks = chunks
    self.progress = progress
    self.executor = executor
    self.expected = expected
    self.rate = rate
    self.gate = gate
    capacity = layout.count
    pageSize = layout.pageSize
  }

  /// Hands messages to the sink until there are no more. The sink may still keep chunks if this fails.
  func run() async throws(SluiceError) -> Result {
    await gate?.wait()
    var order = PageOrder(capacity: capacity)
    var began = sluice_monotonic_nanoseconds()
    let first = began
    var received: UInt64 = 0
    while let message = try await chunks.receive() {
      if let bytes = message.chunkBytes {
        received += 1
        result.withoutChunk.add(since: began, bytes: bytes)
      }
      order.insert(message)
      guard !Task.isCancelled else { throw .cancelled }
      while let next = order.removeNext() { try await pass(next) }
      began = sluice_monotonic_nanoseconds()
    }
    guard !Task.isCancelled else { throw .cancelled }
    precondition(order.chunksRemoved == received, "the readers have ended well, and a chunk is missing")
    result.writingNanoseconds = sluice_monotonic_nanoseconds() - first
    return result
  }

  private func pass(_ message: consuming PageMessage) async throws(SluiceError) {
    switch consume message {
    case .begin(let owner, _):
      let expected = result.order.isEmpty ? expected : 0
      result.order.append(owner)
      result.owners[owner] = Counts()
      try await embedders { try await sink.begin(owner, expectedBytes: expected) }
    case .chunk(var chunk):
      chunk.findZeros(pageSize: pageSize)
      let (readBytes, byteCount) = (chunk.readBytes, chunk.byteCount)
      result.owners[chunk.owner, default: Counts()] += Counts(
        pagesWritten: UInt64(byteCount / pageSize), bytesWritten: UInt64(byteCount),
        zeroPages: UInt64(chunk.zeroPages), holeBytes: UInt64(byteCount - chunk.data.byteCount))
      try await rate?.pass(byteCount)
      let started = result.durations == nil ? 0 : sluice_monotonic_nanoseconds()
      do { try await sink.write(chunk) } catch { throw SluiceError(of: error) }
      result.durations?.add(since: started, bytes: byteCount)
      progress.add(written: readBytes)
    case .end(let owner, _):
      let failure = source.failure(of: owner)
      try await embedders { try await sink.end(owner, failure: failure) }
    }
  }
}
