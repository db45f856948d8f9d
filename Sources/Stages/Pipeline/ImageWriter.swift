internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// The last stage: puts what was read into order and writes it, without waiting for one write before the
/// next is started. It runs on the write engine's own thread.
actor ImageWriter {
  /// What was written of a task.
  struct Counts: Sendable {
    var pagesWritten: UInt64 = 0
    /// The length of the pages file.
    var bytesWritten: UInt64 = 0
    /// Pages that are all zeros.
    var zeroPages: UInt64 = 0
    /// Bytes of the pages file that were left out as holes.
    var holeBytes: UInt64 = 0
    /// Pages that were read and left to the parent, which has the same.
    var pagesInParent: UInt64 = 0

    static func += (total: inout Counts, other: Counts) {
      total.pagesWritten += other.pagesWritten
      total.bytesWritten += other.bytesWritten
      total.zeroPages += other.zeroPages
      total.holeBytes += other.holeBytes
      total.pagesInParent += other.pagesInParent
    }
  }

  /// What the writing came to.
  struct Result: Sendable {
    /// By task.
    var tasks: [Counts]
    /// From the first chunk to the end of the last write, in nanoseconds.
    var writingNanoseconds: UInt64 = 0
    /// How long the writer waited for something to write.
    var withoutChunk = StageWait()
    /// How long it waited because as many writes were in flight as may be.
    var queueFull = StageWait()
  }

  /// How the writer works.
  struct Configuration: Sendable {
    let queueDepth: Int
    let layout: BufferLayout
    /// Whether pages files are written past the page cache.
    let direct: Bool
    /// Whether files are on the disk before they are taken for written.
    let syncs: Bool
    /// What the pages are compared with, where they are.
    var contents: ContentRound?
  }

  private nonisolated let engine: any WriteEngine
  private let configuration: Configuration
  private let tasks: [any OutputTask]
  private let chunks: ChunkChannel
  private let progress: ProgressFeed
  /// Nil where what was read is dropped, to measure the reading.
  private var images: UnfinishedImages?
  /// The files of the task that is being written; nil between two tasks.
  private var output: ProcessImages?
  /// What it is compared with; nil between two tasks, and where nothing is compared.
  private var comparison: PageComparison?
  private var result: Result

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe engine.unownedExecutor }
  nonisolated var taskExecutor: any TaskExecutor { engine.taskExecutor }

  /// - Parameters:
  ///   - images: nil where nothing is to be written.
  ///   - first: the files of the first task, which are made before anything is done to a process.
  init(
    images: consuming UnfinishedImages?, first: consuming ProcessImages?, tasks: [any OutputTask],
    configuration: Configuration, engine: any WriteEngine, chunks: ChunkChannel, progress: ProgressFeed
  ) {
    self.images = consume images
    output = consume first
    self.tasks = tasks
    self.configuration = configuration
    self.engine = engine
    self.chunks = chunks
    self.progress = progress
    result = Result(tasks: Array(repeating: Counts(), count: tasks.count))
  }

  /// Writes chunks until there are no more, and everything that was started has completed.
  func run() async throws(SluiceError) -> Result {
    // Here, since the engine wants to be told on its own thread who asks.
    let queue = WriteQueue(
      engine: engine, depth: configuration.queueDepth, pageSize: configuration.layout.pageSize)
    var failure: SluiceError?
    do throws(SluiceError) {
      try await writeChunks(through: queue)
    } catch {
      failure = error
    }
    // Whatever happened: the kernel reads from the buffers until its last completion has come.
    do throws(SluiceError) {
      try await drain(queue)
    } catch {
      failure = failure ?? error
    }
    if let failure { throw failure }
    result.queueFull = queue.full
    return result
  }

  private func writeChunks(through queue: WriteQueue) async throws(SluiceError) {
    // Several readers deliver out of order. Each chunk holds a buffer, so none is further ahead than that.
    var ordered = ReorderBuffer<FilledChunk>(capacity: configuration.layout.count)
    var began = sluice_monotonic_nanoseconds()
    let first = began
    var received: UInt64 = 0
    while let chunk = try await chunks.receive() {
      received += 1
      result.withoutChunk.add(since: began, bytes: chunk.buffer.byteCount)
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
    precondition(ordered.removedCount == received, "the readers have ended well, and a chunk is missing")
    result.writingNanoseconds = sluice_monotonic_nanoseconds() - first
  }

  private func write(_ chunk: consuming FilledChunk, through queue: WriteQueue) async throws(SluiceError) {
    let (task, endsTask, readBytes) = (tasks[chunk.task], chunk.endsTask, chunk.buffer.byteCount)
    try openOutput(of: task)
    try compare(&chunk, of: task)
    let byteCount = chunk.buffer.byteCount
    result.tasks[task.index].bytesWritten += UInt64(byteCount)
    result.tasks[task.index].pagesWritten += UInt64(byteCount / configuration.layout.pageSize)
    result.tasks[task.index].zeroPages += UInt64(chunk.data.zeroPages)
    result.tasks[task.index].holeBytes += UInt64(byteCount - chunk.data.byteCount)
    if output != nil { try await writePages(chunk, through: queue) }
    progress.add(written: readBytes)
    if endsTask, output != nil { try await finish(task, queue) }
  }

  private func openOutput(of task: any OutputTask) throws(SluiceError) {
    guard output == nil, images != nil else { return }
    do throws(ImagesError) {
      output = try ProcessImages.create(
        in: &images!, of: task, pageSize: UInt64(configuration.layout.pageSize),
        direct: configuration.direct, expecting: 0)
    } catch {
      throw SluiceError(error)
    }
  }

  /// Leaves to the parent what it has of the chunk, where contents are compared.
  private func compare(_ chunk: inout FilledChunk, of task: any OutputTask) throws(SluiceError) {
    guard let round = configuration.contents, images != nil else { return }
    let pageSize = configuration.layout.pageSize
    if comparison == nil {
      let last = try round.lastPages(of: task)
      let known = round.tasks[task.index]
      do throws(ImagesError) {
        let file = try images!.createHashes(pagemap: task.pagemapName)
        comparison = PageComparison(
          last: last, hashes: try PageHashWriter(file: file, head: known.head), pageSize: UInt64(pageSize),
          pid: known.pid, logger: round.logger)
      } catch {
        throw SluiceError(error)
      }
    }
    do throws(ImagesError) {
      let left = try comparison?.sort(&chunk.buffer) ?? 0
      guard left > 0 else { return }
      chunk.data = NonZeroExtents(of: chunk.buffer, pageSize: pageSize)
      result.tasks[task.index].pagesInParent += UInt64(left)
    } catch {
      throw SluiceError(error)
    }
  }

  private func writePages(
    _ chunk: consuming FilledChunk, through queue: WriteQueue
  ) async throws(SluiceError) {
    guard let pages = output?.pages else { return }
    let (data, byteCount) = (chunk.data, chunk.buffer.byteCount)
    do throws(ImagesError) { try output?.addToPagemap(chunk.buffer) } catch { throw SluiceError(error) }
    guard let offset = output?.reserve(byteCount) else { return }
    if case .giveBack(let size) = output?.prepareSpace(for: data, byteCount: byteCount, at: offset) {
      try await drain(queue)
      try onImages { () throws(ImagesError) in try pages.setSize(size) }
    }
    do throws(WriteQueue.Failed) {
      try await queue.write(chunk.buffer, parts: data.parts, to: pages.descriptor, at: offset)
    } catch {
      throw SluiceError(pages.writeFailed(errno: error.errno))
    }
    do throws(ImagesError) {
      try output?.limitPageCache(writtenUpTo: queue.lowestFileOffsetInFlight)
    } catch {
      throw SluiceError(error)
    }
  }

  /// Ends a task's files before the next task's are begun: so few are open at any time.
  private func finish(_ task: any OutputTask, _ queue: WriteQueue) async throws(SluiceError) {
    // A descriptor is not closed while the kernel may yet be told to write to it.
    try await drain(queue)
    do throws(ImagesError) {
      if task.hasFailed {
        output = nil
        comparison = nil
        images?.discard(pagesID: task.pagesID, pagemap: task.pagemapName)
        return
      }
      try output?.finish()
      output = nil
      try comparison?.finish()
      comparison = nil
      try images?.close(
        pagesID: task.pagesID, pagemap: task.pagemapName, syncs: configuration.syncs)
    } catch {
      throw SluiceError(error)
    }
  }

  private func drain(_ queue: WriteQueue) async throws(SluiceError) {
    do throws(WriteQueue.Failed) {
      try await queue.drain()
    } catch {
      guard let pages = output?.pages else { preconditionFailure("without files nothing is written") }
      throw SluiceError(pages.writeFailed(errno: error.errno))
    }
  }

  /// Gives up the images of a task whose files have ended.
  func discard(_ task: any OutputTask) {
    images?.discard(pagesID: task.pagesID, pagemap: task.pagemapName)
  }

  /// Makes the images valid.
  ///
  /// - Returns: why they cannot be given to their owner; nil where they can.
  func publish(
    inventory: Inventory, statistics: DumpStatistics, trackedTasks: TrackedProcesses?
  ) throws(SluiceError) -> SystemErrno? {
    guard let images = images.take() else { return nil }
    // Not through `onImages`: a closure may not consume what it captures.
    do throws(ImagesError) {
      return try images.publish(
        inventory: inventory, statistics: statistics, trackedTasks: trackedTasks,
        syncs: configuration.syncs)
    } catch {
      throw SluiceError(error)
    }
  }

  /// Makes images valid that are a copy of others: with their other files, and their inventory last.
  func publish(copyOf chain: ImageChain) throws(SluiceError) {
    guard var images = images.take() else { return }
    do throws(ImagesError) {
      try images.copyOtherFiles(of: chain)
      try images.publish(inventoryOf: chain, syncs: configuration.syncs)
    } catch {
      throw SluiceError(error)
    }
  }

  /// Removes what was written.
  func discard() {
    output = nil
    comparison = nil
    images = nil
  }
}
