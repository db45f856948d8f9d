internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline

/// Writes CRIU images into a directory, without waiting for one write before the next is started. It works on the write
/// engine's own thread.
actor ImagesDirectorySink: PageSink {
  /// How the sink works.
  struct Options: Sendable {
    /// Writes in flight at most.
    let queueDepth: Int
    /// The size of a page in bytes.
    let pageSize: Int
    /// The way that pages take to the disk.
    let io: PreDump.Configuration.IO
    /// Whether files are on the disk before they are taken for written.
    let syncs: Bool
    let logger: Logger
    /// Whether anybody waits for the disk.
    var waitsForDisk: Bool { syncs && io != .cached }
    /// The page server that the pages go to: then the directory has pagemaps without them. Nil where the pages are written.
    var sentTo: String?
    /// The numbers of pages files, where they are not counted.
    var pagesIDs: [PageOwner: UInt32] = [:]
    /// The number of the first pages file, from which the others are counted.
    var firstPagesID = ImageNames.firstPagesID
  }

  private let engine: any WriteEngine
  private let options: Options
  private var images: UnfinishedImages?
  /// Made by the first `begin`, on the engine's thread, which wants to be told there who asks.
  private var queue: WriteQueue?
  /// The files of the process that is being written; nil between two processes.
  private var output: ProcessImages?
  /// Those of the first process, which are made before anything is done to any.
  private var first: ProcessImages?
  private var names: [PageOwner: ImageNames] = [:]
  /// How long writing waited because as many writes were in flight as may be.
  private(set) var queueFull = StageWait()

  nonisolated let limits: SinkLimits
  nonisolated var executor: (any SinkExecutor)? { engine.executor }
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe engine.unownedExecutor }

  /// - Parameter target: the directory, and what its files can do.
  init(_ target: consuming sending ImagesTarget, options: Options, engine: any WriteEngine) {
    limits = target.limits
    var target = target
    images = target.takeImages()
    first = target.takeFirst()
    self.options = options
    self.engine = engine
  }

  func begin(_ owner: PageOwner, expectedBytes: UInt64) throws(SluiceError) {
    if queue == nil {
      queue = WriteQueue(engine: engine, depth: options.queueDepth, pageSize: options.pageSize)
    }
    let named = ImageNames(
      of: owner, pagesID: options.pagesIDs[owner] ?? options.firstPagesID + UInt32(names.count))
    names[owner] = named
    if let first = first.take() {
      output = consume first
      return
    }
    guard images != nil else { throw .cancelled }
    output = try onImages { () throws(ImagesError) in
      try ProcessImages.create(
        in: &images!, named: named, pageSize: UInt64(options.pageSize), direct: options.io.isDirect,
        expecting: 0)
    }
  }

  func write(_ chunk: consuming PageChunk) async throws(SluiceError) {
    guard let pages = output?.pages, let queue else { throw .cancelled }
    let (data, byteCount) = (chunk.data, chunk.byteCount)
    do throws(ImagesError) { try output?.addToPagemap(chunk.buffer, isLazy: chunk.isLazy) } catch {
      throw SluiceError(error)
    }
    guard options.sentTo == nil else { return }
    guard let offset = output?.reserve(byteCount) else { return }
    if case .giveBack(let size) = output?.prepareSpace(for: data, byteCount: byteCount, at: offset) {
      try await drain()
      try onImages { () throws(ImagesError) in try pages.setSize(size) }
    }
    do throws(WriteQueue.Failed) {
      try await queue.write(chunk.buffer, parts: data.parts, to: pages.descriptor, at: offset)
    } catch {
      throw SluiceError(pages.writeFailed(errno: error.errno))
    }
    guard options.io != .cached else { return }
    do throws(ImagesError) {
      try output?.limitPageCache(writtenUpTo: queue.lowestFileOffsetInFlight)
    } catch {
      throw SluiceError(error)
    }
  }

  /// Ends a process's files before the next one's are begun: so few are open at any time.
  func end(_ owner: PageOwner, failure: SluiceError?) async throws(SluiceError) {
    // A descriptor is not closed while the kernel may yet be told to write to it.
    try await drain()
    queueFull = queue?.full ?? StageWait()
    guard let named = names[owner] else { return }
    do throws(ImagesError) {
      if failure != nil {
        output = nil
        images?.discard(pagesID: named.pagesID, pagemap: named.pagemap)
        return
      }
      try output?.finish(staysCached: options.io == .cached)
      output = nil
      if options.sentTo != nil { images?.discardPages(pagesID: named.pagesID) }
      try images?.close(pagesID: named.pagesID, pagemap: named.pagemap, syncs: options.waitsForDisk)
    } catch {
      throw SluiceError(error)
    }
  }

  /// Makes the images valid.
  func commit(_ manifest: RunManifest) throws(SluiceError) {
    guard var images = images.take() else { throw .cancelled }
    for entry in manifest.entries where entry.failure != nil {
      guard let named = names[entry.owner] else { continue }
      images.discard(pagesID: named.pagesID, pagemap: named.pagemap)
    }
    // Not through `onImages`: a closure may not consume what it captures.
    do throws(ImagesError) {
      switch manifest.images {
      case .dump(let inventory, let statistics, let tracked, let pid):
        if let server = options.sentTo { try images.note(SentMark(server: server)) }
        let path = images.path
        let kept = try images.publish(
          inventory: inventory, statistics: statistics, trackedProcesses: tracked, syncs: options.waitsForDisk
        )
        if let kept { warn(path, pid, keptBecause: kept) }
      case .copy(let chain):
        try images.copyOtherFiles(of: chain)
        try images.publish(inventoryOf: chain, syncs: options.waitsForDisk)
      case .session(let mark, let parent):
        try images.publish(mark, parent: parent, syncs: options.waitsForDisk)
      case nil: preconditionFailure("images have an inventory")
      }
    } catch {
      throw SluiceError(error)
    }
  }

  private func warn(_ path: String, _ pid: Int32, keptBecause kept: SystemErrno) {
    options.logger.warning(
      "the images in \(path) cannot be given to the first user of process \(pid)'s user namespace, who must be able to read them for a restore: \(kept); give them to that user (chown -R)"
    )
  }

  /// Removes what was written. Whatever happened: the kernel reads from the buffers until its last completion has come.
  func abort() async {
    // What failed is removed, whatever it was.
    do throws(SluiceError) { try await drain() } catch {}
    output = nil
    first = nil
    images = nil
    queue = nil
  }

  /// Creates the file for the hashes of a process's pages.
  ///
  /// - Throws: `SluiceError` with `cannotCreate`.
  func createHashes(of owner: PageOwner) throws(SluiceError) -> OutputFile {
    guard images != nil else { throw .cancelled }
    return try onImages { () throws(ImagesError) in
      try images!.createHashes(pagemap: ImageNames(of: owner, at: 0).pagemap)
    }
  }

  private func drain() async throws(SluiceError) {
    guard let queue else { return }
    do throws(WriteQueue.Failed) {
      try await queue.drain()
    } catch {
      guard let pages = output?.pages else { preconditionFailure("without files nothing is written") }
      throw SluiceError(pages.writeFailed(errno: error.errno))
    }
  }
}

/// What makes images valid.
enum ImagesManifest: Sendable {
  /// What a dump says of itself; the pid is for messages.
  case dump(Inventory, DumpStatistics, TrackedProcesses?, pid: Int32)
  /// What a page server says of what it has received, and the images that these build on.
  case session(SessionMark, parent: ParentImages?)
  /// The other files of images that these are a copy of, and their inventory.
  case copy(of: ImageChain)
}
