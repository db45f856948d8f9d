internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem

/// Makes one directory of images out of a chain of them: with all pages, and without a parent. Restoring it is faster,
/// and the chain's other directories can go.
public struct FlattenImages: Sendable {
  /// The newest directory of the chain.
  public var directory: String
  /// Where the images go; made where there is none, and must hold no images.
  public var output: String
  /// The memory for everything that could grow, in bytes.
  public var memoryBudget = 64 << 20
  /// The way that pages take to the disk.
  public var io = PreDump.Configuration.IO.automatic
  /// Whether to wait until the images are on the disk before they are declared valid.
  public var syncs = true

  /// Whether the links of the chain are followed whoever they belong to, and whoever may write where they lead.
  public var trustsParents = false

  /// Everything else as most want it.
  public init(directory: String, output: String) {
    self.directory = directory
    self.output = output
  }

  /// What was made.
  public struct Report: Sendable {
    /// Directories of the chain.
    public let depth: Int
    /// Pagemaps, each of a task or of shared memory.
    public let pagemaps: Int
    /// Pages of all of them.
    public let pages: UInt64
    /// Bytes of the pages files, holes included.
    public let bytes: UInt64
    /// Bytes of zeros that take no space.
    public let holeBytes: UInt64
    /// Whether rounds can build on the copy as on the original; not where one was, or was to be, built on that: what was
    /// written since is known for that round alone.
    public let isBase: Bool
  }

  /// Runs to the end. The chain is only read; if it is cancelled or fails, nothing is left of the new images.
  ///
  /// - Throws: `SluiceError`: `malformedImages` for a chain that is unfinished or lacks pages.
  public func run() async throws(SluiceError) -> Report {
    guard !output.isEmpty else {
      throw SluiceError(.invalidArgument, "the directory for the images (output) has an empty name")
    }
    return try await Coordinator.run { () async throws(SluiceError) in try await runHere() }
  }

  private func open() throws(SluiceError) -> (ImageChain, [ChainTask]) {
    try onImages { () throws(ImagesError) in
      let chain = try ImageChain(path: directory, trust: Trust(everybody: trustsParents))
      try chain.checkLevels()
      guard try chain.completion() != .unfinished else {
        throw ImagesError(
          .malformed, "\(directory) has no inventory.img: the run that makes these images was interrupted")
      }
      var tasks: [ChainTask] = []
      for (index, name) in try chain.pagemapNames().enumerated() {
        let pagesID = try ChainPagemap(name: name, in: chain).pagesID
        tasks.append(ChainTask(index: index, pagemapName: name, pagesID: pagesID))
      }
      return (chain, tasks)
    }
  }

  @concurrent
  private func runHere() async throws(SluiceError) -> Report {
    let (chain, tasks) = try open()
    let ring = try makeRing(forChainOf: chain.depth)
    let images = try onImages { () throws(ImagesError) in try UnfinishedImages.create(at: output) }
    var configuration = PreDump.Configuration(pid: 0, imagesDirectory: output)
    configuration.queueDepth = 8
    let engine = try configuration.makeEngine(ring)
    defer { engine.shutdown() }
    let thread = try StageThreads.make("sluice-chain")
    defer { thread.shutdown() }
    let chunks = ChunkChannel(capacity: min(8, ring.layout.count))
    let reader = ChainReader(chain: chain, tasks: tasks, ring: ring, chunks: chunks, executor: thread)
    let writer = ImageWriter(
      images: images, first: nil, tasks: tasks,
      configuration: ImageWriter.Configuration(
        queueDepth: configuration.queueDepth, layout: ring.layout, direct: io != .buffered, syncs: syncs),
      engine: engine, chunks: chunks, progress: ProgressFeed())
    let written: ImageWriter.Result
    do throws(SluiceError) {
      written = try await run(reader, writer, chunks)
      guard !Task.isCancelled else { throw .cancelled }
    } catch {
      await writer.discard()
      throw error
    }
    try await writer.publish(copyOf: chain)
    let isBase = try onImages { () throws(ImagesError) in try !chain.isBuiltUpon() }
    let total = written.tasks.reduce(into: ImageWriter.Counts()) { $0 += $1 }
    return Report(
      depth: chain.depth, pagemaps: tasks.count, pages: total.pagesWritten, bytes: total.bytesWritten,
      holeBytes: total.holeBytes, isBase: isBase)
  }

  /// Runs both side by side; the first error is thrown.
  private func run(
    _ reader: ChainReader, _ writer: ImageWriter, _ chunks: ChunkChannel
  ) async throws(SluiceError) -> ImageWriter.Result {
    var written: ImageWriter.Result?
    var failure: SluiceError?
    await withTaskGroup(of: Result<ImageWriter.Result?, SluiceError>.self) { group in
      group.addTask(executorPreference: reader.taskExecutor) {
        do throws(SluiceError) {
          try await reader.run()
          return .success(nil)
        } catch {
          return .failure(error)
        }
      }
      group.addTask(executorPreference: writer.taskExecutor) {
        do throws(SluiceError) { return .success(try await writer.run()) } catch { return .failure(error) }
      }
      for await end in group {
        switch end {
        case .success(let result): written = result ?? written
        case .failure(let error):
          guard failure == nil else { continue }
          failure = error
          chunks.fail(error)
          group.cancelAll()
        }
      }
    }
    if let failure { throw failure }
    guard let written else { preconditionFailure("a writer that did not fail has a result") }
    return written
  }

  private func makeRing(forChainOf depth: Int) throws(SluiceError) -> BufferRing {
    let layout: BufferLayout
    do throws(MemoryBudget.TooSmall) {
      layout = try MemoryBudget(
        total: memoryBudget,
        shares: [
          .init(purpose: "pagemaps of the chain", byteCount: depth * PagemapImageReader.bufferBytes),
          .init(purpose: "pagemap records", byteCount: PagemapImageWriter.bufferBytes),
        ],
        pageSize: Int(sluice_page_size())
      ).buffers
    } catch {
      throw SluiceError(error)
    }
    do throws(BufferRing.MappingFailed) {
      return try BufferRing(layout: layout)
    } catch {
      throw SluiceError(error)
    }
  }
}
