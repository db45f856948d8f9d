internal import Logging
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

  /// All other settings get their defaults.
  public init(directory: String, output: String) {
    self.directory = directory
    self.output = output
  }

  /// What was made.
  public struct Report: Hashable, Sendable, Codable {
    /// Directories of the chain.
    public let depth: Int
    /// Pagemaps, each of a process or of shared memory.
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

    private enum CodingKeys: String, CodingKey {
      case depth
      case pagemaps
      case pages
      case bytes
      case holeBytes = "hole_bytes"
      case isBase = "is_base"
    }
  }

  /// Runs to the end. The chain is only read; if it is cancelled or fails, nothing is left of the new images.
  ///
  /// Each page is read and written once, by one reader, on threads of its own.
  ///
  /// - Throws: `SluiceError`: `malformedImages` for a chain that is unfinished or lacks pages, `notFound` for none,
  ///   `cannotCreate` for an output that holds images, `invalidArgument` for a budget that is too small, `io`, `cancelled`.
  public func run() async throws(SluiceError) -> Report {
    guard !output.isEmpty else {
      throw SluiceError(.invalidArgument, "the directory for the images (output) has an empty name")
    }
    let runtime = SluiceRuntime(memoryBudget: memoryBudget)
    let result = await Result { () async throws(SluiceError) in
      try await runtime.coordinate { () async throws(SluiceError) in try await run(in: runtime) }
    }
    await runtime.shutdown()
    do throws(SluiceError) { return try result.get() } catch { throw error.ifCancelled(is: "the flattening") }
  }

  private func open() throws(SluiceError) -> (
    chain: ImageChain, pagesIDs: [PageOwner: UInt32], names: [String]
  ) {
    try onImages { () throws(ImagesError) in
      let chain = try ImageChain(path: directory, trust: Trust(everybody: trustsParents))
      try chain.checkLevels()
      guard try chain.completion() != .unfinished else {
        throw ImagesError(
          .malformed, "\(directory) has no inventory.img: its run was interrupted")
      }
      let names = try chain.pagemapNames()
      var pagesIDs: [PageOwner: UInt32] = [:]
      for name in names { pagesIDs[.image(pagemap: name)] = try ChainPagemap(name: name, in: chain).pagesID }
      return (chain, pagesIDs, names)
    }
  }

  /// Writes in flight.
  private static let queueDepth = 8

  @concurrent
  private func run(in runtime: SluiceRuntime) async throws(SluiceError) -> Report {
    let (chain, pagesIDs, names) = try open()
    let target = ImagesTarget(
      try onImages { () throws(ImagesError) in try UnfinishedImages.create(at: output) })
    let logger = Logger(label: "sluice", factory: { _ in SwiftLogNoOpLogHandler() })
    let lease = try await runtime.acquire(
      RuntimeNeeds(
        shares: [
          // One that is walked, and one for the reader.
          .init(
            purpose: "pagemaps of the chain", byteCount: 2 * chain.depth * PagemapImageReader.bufferBytes),
          .init(purpose: "pagemap records", byteCount: PagemapImageWriter.bufferBytes),
        ], limits: target.limits, readers: 1, queueDepth: Self.queueDepth, writeEngine: .automatic,
        registersBuffers: true, logger: logger))
    let pageSize = lease.ring.layout.pageSize
    let sink = ImagesDirectorySink(
      target,
      options: ImagesDirectorySink.Options(
        queueDepth: Self.queueDepth, pageSize: pageSize, io: io, syncs: syncs,
        logger: logger,
        pagesIDs: pagesIDs),
      engine: lease.engine)
    do throws(SluiceError) {
      let source = ChainSource(chain: chain, pagemaps: names, pageSize: UInt64(pageSize))
      let counts = try await Stages(
        from: source, to: sink, by: lease, progress: ProgressFeed(), observer: NoObserver()
      ).run()
      guard !Task.isCancelled else { throw .cancelled }
      try await embedders {
        try await sink.commit(
          RunManifest(
            entries: counts.sink.order.map { owner in
              RunManifest.Entry(
                owner: owner, pagesWritten: counts.sink.owners[owner]?.pagesWritten ?? 0, failure: nil)
            },
            pageSize: pageSize, images: .copy(of: chain)))
      }
      let isBase = try onImages { () throws(ImagesError) in try !chain.isBuiltUpon() }
      await runtime.release(lease, isReusable: true)
      let total = counts.sink.owners.values.reduce(into: SinkStage.Counts()) { $0 += $1 }
      return Report(
        depth: chain.depth, pagemaps: names.count, pages: total.pagesWritten, bytes: total.bytesWritten,
        holeBytes: total.holeBytes, isBase: isBase)
    } catch {
      await sink.abort()
      await runtime.release(lease, isReusable: false)
      throw error
    }
  }
}
