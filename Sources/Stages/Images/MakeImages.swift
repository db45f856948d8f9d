public import Logging
internal import SluiceImages
internal import SluicePipeline

/// Makes a directory of images of what a source has: of pages that a sink of the program's own has put elsewhere, for one.
///
/// ```swift
/// let report = try await MakeImages(from: source, directory: "/var/tmp/images").run()
/// ```
///
/// `criu dump --prev-images-dir` and the commands that read images take them as they take those of a pre-dump. They build on no
/// others: the source has all pages, and leaves none to a parent.
public struct MakeImages: Sendable {
  /// The directory. It is made where there is none, and must hold no images.
  public let directory: String
  /// Since when it is tracked what the processes write, by `RunManifest.trackedSince` of the run that has copied the pages;
  /// nil where CRIU cannot build on the images.
  public var trackedSince: UInt64?
  /// How many readers of the source there are, each on a thread of its own.
  public var readers = 1
  /// The memory for everything that could grow, in bytes, where there is no runtime that says so.
  public var memoryBudget = 64 << 20
  /// The way that pages take to the disk.
  public var io = PreDump.Configuration.IO.automatic
  /// Whether to wait until the images are on the disk before they are declared valid.
  public var syncs = true
  /// Receives log messages.
  public var logger = Logger(label: "sluice", factory: { _ in SwiftLogNoOpLogHandler() })
  private let source: any PageSource

  /// Images of all that a source has.
  ///
  /// - Parameters:
  ///   - source: walked once. Of a `PageOwner.process` the images are named by the pid in its own namespace.
  ///   - directory: where the images go; it is made where it is missing, and has no images yet.
  public init(from source: any PageSource, directory: String) {
    self.source = source
    self.directory = directory
  }

  /// What was made.
  public struct Report: Hashable, Sendable {
    /// Pages in the pages files.
    public let pages: UInt64
    /// Bytes of the pages files, holes included.
    public let bytes: UInt64
    /// Bytes of zeros that take no space.
    public let holeBytes: UInt64
  }

  /// Runs to the end. Where it is cancelled or fails, nothing is left of the images.
  ///
  /// - Parameter runtime: what it works with, and shares a memory budget in; nil for a runtime of its own.
  /// - Throws: `SluiceError`, also for what the source throws.
  public func run(in runtime: SluiceRuntime? = nil) async throws(SluiceError) -> Report {
    guard !directory.isEmpty else {
      throw SluiceError(.invalidArgument, "the directory for the images (directory) has an empty name")
    }
    guard PreDump.Configuration.possibleReaders.contains(readers) else {
      throw SluiceError(.invalidArgument, "\(readers) readers cannot be: from 1 to 256 can")
    }
    let used = runtime ?? SluiceRuntime(memoryBudget: memoryBudget)
    let result = await Result { () async throws(SluiceError) in
      try await used.coordinate { () async throws(SluiceError) in try await make(in: used) }
    }
    if runtime == nil { await used.shutdown() }
    return try result.get()
  }

  /// Writes in flight.
  private static let queueDepth = 8

  @concurrent
  private func make(in runtime: SluiceRuntime) async throws(SluiceError) -> Report {
    let target = ImagesTarget(
      try onImages { () throws(ImagesError) in try UnfinishedImages.create(at: directory) })
    let lease = try await runtime.acquire(
      RuntimeNeeds(
        shares: [.init(purpose: "pagemap records", byteCount: PagemapImageWriter.bufferBytes)],
        limits: target.limits, readers: readers, queueDepth: Self.queueDepth, writeEngine: .automatic,
        registersBuffers: true, logger: logger))
    let pageSize = lease.ring.layout.pageSize
    let sink = ImagesDirectorySink(
      target,
      options: ImagesDirectorySink.Options(
        queueDepth: Self.queueDepth, pageSize: pageSize, io: io, syncs: syncs, logger: logger),
      engine: lease.engine)
    do throws(SluiceError) {
      let counts = try await Stages(
        from: source, to: sink, by: lease, progress: ProgressFeed(), observer: NoObserver()
      ).run()
      guard !Task.isCancelled else { throw .cancelled }
      try await embedders {
        try await sink.commit(
          RunManifest(
            entries: counts.sink.order.map { owner in
              RunManifest.Entry(
                owner: owner, pagesWritten: counts.sink.owners[owner]?.pagesWritten ?? 0,
                failure: source.failure(of: owner).map { "\($0)" })
            },
            pageSize: pageSize,
            images: .dump(
              Inventory(dumpUptime: trackedSince, preDumpMode: .read), DumpStatistics(), nil, pid: 0)))
      }
      await runtime.release(lease, isReusable: true)
      let total = counts.sink.owners.values.reduce(into: SinkStage.Counts()) { $0 += $1 }
      return Report(pages: total.pagesWritten, bytes: total.bytesWritten, holeBytes: total.holeBytes)
    } catch {
      await sink.abort()
      await runtime.release(lease, isReusable: false)
      throw error
    }
  }
}
