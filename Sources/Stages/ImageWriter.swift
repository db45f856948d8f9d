internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// The last stage: puts what was read into order and writes it, without waiting for one write before the
/// next is started. It runs on the write engine's own thread.
actor ImageWriter {
  /// What was written.
  struct Counts: Sendable {
    var pagesWritten: UInt64 = 0
    /// The length of the pages file so far.
    var bytesWritten: UInt64 = 0
    /// Pages that are all zeros.
    var zeroPages: UInt64 = 0
    /// Bytes of the pages file that were left out as holes.
    var holeBytes: UInt64 = 0
    /// From the first chunk to the end of the last write, in nanoseconds.
    var writingNanoseconds: UInt64 = 0
    /// How long the writer waited for something to write.
    var withoutChunk = Stall()
    /// How long it waited because as many writes were in flight as may be.
    var queueFull = Stall()
  }

  private nonisolated let engine: any WriteEngine
  private let queueDepth: Int
  private let layout: BufferLayout
  private let chunks: ChunkChannel
  private let progress: ProgressFeed
  /// Nil where what was read is dropped, to measure the reading.
  private var output: ImageOutput?
  private var counts = Counts()
  private var writeback: WritebackWindow?
  private var spaceAhead: SpaceAhead?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe engine.unownedExecutor }
  nonisolated var taskExecutor: any TaskExecutor { engine.taskExecutor }

  init(
    output: consuming ImageOutput?, engine: any WriteEngine, queueDepth: Int, layout: BufferLayout,
    chunks: ChunkChannel, progress: ProgressFeed, expectedBytes: UInt64
  ) {
    // Optional chaining would consume it.
    let (isCached, wantsSpaceAhead) =
      switch output {
      case .some(let output): (output.goesThroughPageCache, output.wantsSpaceAhead)
      case .none: (false, false)
      }
    writeback = isCached ? WritebackWindow() : nil
    spaceAhead = wantsSpaceAhead ? SpaceAhead(expecting: expectedBytes) : nil
    self.output = consume output
    self.engine = engine
    self.queueDepth = queueDepth
    self.layout = layout
    self.chunks = chunks
    self.progress = progress
  }

  /// Writes chunks until there are no more, and everything that was started has completed.
  func run() async throws(PreDumpError) -> Counts {
    // Here, since the engine wants to be told on its own thread who asks.
    let queue = WriteQueue(engine: engine, depth: queueDepth, pageSize: layout.pageSize)
    var failure: PreDumpError?
    do throws(PreDumpError) {
      try await writeChunks(through: queue)
    } catch {
      failure = error
    }
    // Whatever happened: the kernel reads from the buffers until its last completion has come.
    do throws(WriteQueue.Failed) {
      try await queue.drain()
    } catch {
      failure = failure ?? writeFailed(error)
    }
    if let failure { throw failure }
    counts.queueFull = queue.full
    try finishFiles()
    return counts
  }

  private func writeChunks(through queue: WriteQueue) async throws(PreDumpError) {
    // Several readers deliver out of order. Each chunk holds a buffer, so none is further ahead than that.
    var ordered = ReorderBuffer<FilledChunk>(capacity: layout.count)
    var began = sluice_monotonic_nanoseconds()
    let first = began
    while let chunk = try await chunks.receive() {
      counts.withoutChunk.add(since: began, bytes: chunk.buffer.byteCount)
      guard !Task.isCancelled else { throw .cancelled }
      let sequence = chunk.sequence
      // A reader has failed and given back the buffer of a chunk that is missing here, and with it others went
      // on. What they read is dropped; the reader's error is about to end the channel.
      guard ordered.hasRoom(for: sequence) else { continue }
      ordered.insert(chunk, sequence: sequence)
      while let next = ordered.removeNext() {
        try await write(next, through: queue)
      }
      began = sluice_monotonic_nanoseconds()
    }
    guard !Task.isCancelled else { throw .cancelled }
    counts.writingNanoseconds = sluice_monotonic_nanoseconds() - first
  }

  private func write(_ chunk: consuming FilledChunk, through queue: WriteQueue) async throws(PreDumpError) {
    let byteCount = chunk.buffer.byteCount
    let offset = counts.bytesWritten
    counts.bytesWritten += UInt64(byteCount)
    counts.pagesWritten += UInt64(byteCount / layout.pageSize)
    counts.zeroPages += UInt64(chunk.data.zeroPages)
    counts.holeBytes += UInt64(byteCount - chunk.data.parts.reduce(0) { $0 + $1.count })
    if output != nil {
      try addToPagemap(chunk.buffer)
      try await writePages(chunk, at: offset, through: queue)
      try limitPageCache(queue)
    }
    progress.add(written: byteCount)
  }

  private func writePages(
    _ chunk: consuming FilledChunk, at offset: UInt64, through queue: WriteQueue
  ) async throws(PreDumpError) {
    guard let descriptor = output?.pages.descriptor else { return }
    let parts = chunk.data.parts
    try await prepareSpace(for: chunk.data, byteCount: chunk.buffer.byteCount, at: offset, queue)
    do throws(WriteQueue.Failed) {
      try await queue.write(chunk.buffer, parts: parts, to: descriptor, at: offset)
    } catch {
      throw writeFailed(error)
    }
  }

  /// Allocates space for what comes next, until the first hole: space that was allocated and not written is
  /// none, and giving it back waits for all writes.
  private func prepareSpace(
    for data: DataParts, byteCount: Int, at offset: UInt64, _ queue: WriteQueue
  ) async throws(PreDumpError) {
    guard let ahead = spaceAhead, let pages = output?.pages else { return }
    let isWhole = data.parts.reduce(0) { $0 + $1.count } == byteCount
    if isWhole {
      guard let range = ahead.range(toReach: offset + UInt64(byteCount)) else { return }
      if pages.allocate(range) {
        spaceAhead?.allocated(range)
      } else {
        spaceAhead?.giveUp()
      }
      return
    }
    spaceAhead = nil
    guard ahead.end > offset else { return }
    do throws(WriteQueue.Failed) { try await queue.drain() } catch { throw writeFailed(error) }
    try onImages { () throws(ImagesError) in try pages.setSize(offset) }
  }

  private func addToPagemap(_ buffer: borrowing PageBuffer) throws(PreDumpError) {
    do throws(ImagesError) {
      for index in 0..<buffer.runCount {
        let run = unsafe buffer.runTable[index]
        let pageCount = run.length / UInt64(layout.pageSize)
        try output?.pagemap.append(
          PagemapRun(address: run.address, pageCount: pageCount, flags: .present))
      }
    } catch {
      throw PreDumpError(error)
    }
  }

  /// Sees to it that what was written through the page cache does not stay there.
  private func limitPageCache(_ queue: WriteQueue) throws(PreDumpError) {
    guard writeback != nil, let pages = output?.pages else { return }
    let written = queue.lowestFileOffsetInFlight ?? counts.bytesWritten
    guard let action = writeback?.advance(to: written) else { return }
    try onImages { () throws(ImagesError) in
      if let range = action.start { try pages.startWriteback(range) }
      if let range = action.finish { try pages.finishWriteback(range) }
    }
  }

  private func finishFiles() throws(PreDumpError) {
    guard let pages = output?.pages else { return }
    do throws(ImagesError) {
      // The last pages may be a hole, which no write has made part of the file.
      try pages.setSize(counts.bytesWritten)
      try output?.pagemap.finish()
      if let writeback { try pages.finishWriteback(writeback.rest(to: counts.bytesWritten)) }
    } catch {
      throw PreDumpError(error)
    }
  }

  private func writeFailed(_ error: WriteQueue.Failed) -> PreDumpError {
    guard let pages = output?.pages else { preconditionFailure("without files nothing is written") }
    return PreDumpError(pages.writeFailed(errno: error.errno))
  }

  /// Makes the images valid.
  func publish(inventory: Inventory, statistics: DumpStatistics, syncs: Bool) throws(PreDumpError) {
    guard let output = output.take() else { return }
    // Not through `onImages`: a closure may not consume what it captures.
    do throws(ImagesError) {
      try output.publish(inventory: inventory, statistics: statistics, syncs: syncs)
    } catch {
      throw PreDumpError(error)
    }
  }

  /// Removes what was written.
  func discard() {
    output = nil
  }
}
