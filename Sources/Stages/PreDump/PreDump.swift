internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// Copies the memory of a running process into CRIU images while it goes on running.
///
/// ```swift
/// let report = try await PreDump(.init(pid: 4711, imagesDirectory: "/var/tmp/images")).run()
/// ```
public struct PreDump: Sendable {
  /// What is to be done.
  public let configuration: Configuration
  /// How far it has come, for one who wants to watch. Its elements come while `run` runs.
  public let progress: ProgressFeed
  private let part: RoundRole

  /// Prepares a pre-dump; nothing happens before `run`, which is called once.
  public init(_ configuration: Configuration) {
    // By itself it has no use for a tracker that ends with it, but may be asked to try.
    let isAskedFor = configuration.tracker == .writeProtect || configuration.tracker == .both
    self.init(configuration, as: RoundRole(tracking: isAskedFor ? WriteTracking() : nil))
  }

  init(_ configuration: Configuration, as part: RoundRole) {
    self.configuration = configuration
    self.part = part
    progress = ProgressFeed(tries: part.tries)
  }

  /// The same with another configuration.
  private init(_ other: PreDump, _ configuration: Configuration) {
    self.configuration = configuration
    (part, progress) = (other.part, other.progress)
  }

  /// Runs to the end. Cancelling the task ends it early: nothing is kept then, and the process is as it was.
  ///
  /// Where it was cancelled or has failed, and the disk does not answer for ten seconds, it is left behind with what it
  /// had begun. It cleans that up when the disk answers again.
  ///
  /// - Throws: `SluiceError`. Whatever goes wrong, no directory is left that looks finished.
  public func run() async throws(SluiceError) -> PreDumpReport {
    try configuration.check()
    let patience = Patience<PreDumpReport>()
    var configuration = configuration
    configuration.failed = { patience.endSoon($0) }
    configuration.stuck = { patience.endNow(SluiceError($0)) }
    let run = PreDump(self, configuration)
    // One that is left behind has not come to that.
    defer { progress.finish() }
    return try await patience.run { () async throws(SluiceError) in
      try await Coordinator.run { () async throws(SluiceError) in try await run.runHere() }
    }
  }

  @concurrent
  private func runHere() async throws(SluiceError) -> PreDumpReport {
    defer { progress.finish() }
    let began = sluice_monotonic_nanoseconds()
    let root = try onTarget { () throws(TargetError) in try TargetProcess(pid: configuration.pid) }
    let first = try onTarget { () throws(TargetError) in try root.namespaceRoot() }
    let trust = Trust(users: first.map { [$0.user] } ?? [], everybody: configuration.trustsParents)
    let candidate = try openParent(of: root, trust: trust)
    let tree = try onTarget { () throws(TargetError) in try findTree(of: root, candidate) }
    // Before anything is done to anybody: another way may be taken then.
    try onTarget { () throws(TargetError) in try HiddenMemory.check(tree.processes) }
    let expected = try onTarget { () throws(TargetError) in try tree.ownMemoryBytes() }
    let dirtyBytes = dirtyBytes(forMemory: expected)
    // What cannot be had with the least that a parent takes is refused before its chain is read.
    _ = try makeBudget(parents: 1, dirtyBytes: dirtyBytes)
    let parent = candidate.flatMap { isWhole($0, for: tree) ? $0 : nil }
    let budget = try makeBudget(parents: parent?.depth ?? 1, dirtyBytes: dirtyBytes)
    configuration.logger.info("\(budget)")
    progress.start(expecting: expected)
    var images = try makeImages(for: first, parent: parent)
    let place = try imagesPlace(images, trust: trust)
    let output = try makeFirstOutput(in: &images, of: tree, expecting: parent == nil ? expected : 0)
    let kind = OutputKind(of: output)
    let ring = try makeRing(kind.isInMemory ? budget.forMemory : budget.buffers)

    let engine = try configuration.makeEngine(ring)
    defer { engine.shutdown() }
    let threads = try StageThreads(readers: configuration.readers)
    defer { threads.shutdown() }
    let starter = RoundPreparer(
      configuration: configuration, part: part, dirtyBytes: dirtyBytes,
      executor: threads.starter)
    // Not while the processes stand still.
    if part.isLast { ring.touch(expected) }
    let (plans, chunks) = Self.makeChannels(
      readers: threads.readers.count, buffers: ring.layout.count, isLast: part.isLast)
    var start = try await starter.start(tree, parent: parent)
    let walker = MemoryWalker(
      tasks: start.tasks, base: start.base, watch: start.watch, source: configuration.pageStates.source,
      swapped: configuration.swapped.pages, ring: ring, plans: plans, executor: threads.walker)
    #if SLUICE_FAULTS
      await walker.forget(part.forgotten)
    #endif
    let readers = threads.readers.map {
      PageReader(
        tasks: start.tasks, pageSize: ring.layout.pageSize, plans: plans, chunks: chunks,
        readTimeLimit: configuration.readTimeLimit, hashSeed: start.contents?.seed, executor: $0)
    }
    let writer = ImageWriter(
      images: images, first: output, tasks: start.tasks,
      configuration: ImageWriter.Configuration(
        queueDepth: configuration.queueDepth, layout: ring.layout, direct: configuration.io != .buffered,
        syncs: configuration.syncs, contents: start.contents),
      engine: engine, chunks: chunks, progress: progress)

    let counts: StageCounts
    do throws(SluiceError) {
      if let began = start.devicesBegan { try await WriteProtectMode.waitForDevices(since: began) }
      counts = try await Stages(
        walker: walker, readers: readers, writer: writer, plans: plans, chunks: chunks, progress: progress,
        starter: starter, tasks: start.tasks, failed: configuration.failed
      ).run()
      await discardFailed(start.tasks, writer)
      guard !Task.isCancelled else { throw .cancelled }
    } catch {
      await starter.resume()
      await writer.discard()
      throw error
    }
    if let times = await starter.stopTimes { start.stop = times }
    start.areProbed = counts.walker.tasks.map(\.isProbed)
    precondition(ring.takenCount == 0, "every buffer is home when the stages have ended")

    let report = PreDumpReport(
      configuration: configuration, tries: part.tries, start: start, counts: counts, ring: ring,
      engine: engine.kind, isDirect: kind.isDirect, parent: parent?.path, began: began)
    do throws(SluiceError) {
      try start.lookForDoubts(logger: configuration.logger)
      // What is to be left stopped runs again, too, if this takes too long, or is cancelled. It ends with this scope.
      async let _ = starter.waitUntilOverdue(heedsCancellation: true)
      try await publish(report, start, in: place, by: writer)
      if part.leavesStopped { try await starter.leaveStopped() }
    } catch {
      await starter.resume()
      throw error
    }
    if let unsettled = counts.walker.unsettled, !part.isLast {
      part.tracking?.roundIsComplete(
        in: configuration.imagesDirectory, of: start.tasks, unsettled: unsettled,
        walkedAt: counts.walker.endedAt)
    }
    return report.finished(at: sluice_monotonic_nanoseconds(), in: place)
  }

  /// The tree, and who would be frozen with it.
  private func findTree(of root: TargetProcess, _ parent: ParentImages?) throws(TargetError) -> ProcessTree {
    let known = part.known.union(parent?.tracked?.identities ?? [])
    var tree = try ProcessTree(of: root, known: known)
    guard let cgroup = configuration.freezeCgroup else { return tree }
    let guests = try tree.lookAround(in: cgroup)
    if !guests.isEmpty, part.isFirst {
      configuration.logger.warning(
        "the cgroup \(cgroup) also holds processes that are no descendants of process \(configuration.pid): where it is frozen they stand still, too, and they are not copied: \(guests.description)"
      )
    }
    return tree
  }

  /// Gives up what was written of tasks that have failed, also in the end.
  private func discardFailed(_ tasks: [DumpedProcess], _ writer: ImageWriter) async {
    for task in tasks {
      guard let error = task.error else { continue }
      await writer.discard(task)
      configuration.logger.warning("process \(task.process.pid) has no images: \(error)")
    }
  }

  /// Makes the images valid, and only then the parent's again.
  private func publish(
    _ report: PreDumpReport, _ start: PreparedRound, in place: ImagesPlace?, by writer: ImageWriter
  ) async throws(SluiceError) {
    let inventory = start.inventory
    let tracked = try start.trackedTasks()
    let kept = try await writer.publish(
      inventory: inventory, statistics: report.statistics, trackedTasks: tracked)
    if let kept {
      configuration.logger.warning(
        "the images in \(configuration.imagesDirectory) cannot be given to the first user of process \(configuration.pid)'s user namespace, as whom criu reads them when it restores the process: \(kept); give them to that user before (chown -R)"
      )
    }
    guard let parent = start.parentAside ?? start.base?.parent else { return }
    // What this round has made is valid all the same.
    let complete = "the images in \(configuration.imagesDirectory) are complete, but"
    do throws(ImagesError) {
      try parent.noteChild(at: configuration.imagesDirectory, expecting: place?.identity)
    } catch {
      // Without that note, only the missing inventory keeps others from building on images whose dirty pages are gone.
      let consequence =
        start.parentAside == nil
        ? "build nothing else on them"
        : "their inventory.img stays set aside, so that nothing else builds on them"
      configuration.logger.warning(
        "\(complete) the ones in \(parent.path) that they build on cannot be marked as such; \(consequence): \(error)"
      )
      return
    }
    guard let aside = start.parentAside else { return }
    do throws(ImagesError) {
      try aside.putBack()
    } catch {
      configuration.logger.warning(
        "\(complete) the inventory of those that they build on stays set aside; it can be renamed by hand: \(error)"
      )
    }
  }

  /// Why none of the processes that the parent's images are of can build on them; nil where one can.
  private func brokenness(of parent: ParentImages, for tree: ProcessTree) -> ImagesError? {
    var reason: ImagesError?
    for process in tree.processes {
      do throws(ImagesError) {
        guard try parent.has(pid: process.namespacePid) else { continue }
        try parent.checkChain(pid: process.namespacePid)
        return nil
      } catch {
        reason = reason ?? error
      }
    }
    return reason
  }

  /// Whether a process of the tree can build on the parent's images, or none of them is in these.
  private func isWhole(_ parent: ParentImages, for tree: ProcessTree) -> Bool {
    guard let reason = brokenness(of: parent, for: tree) else { return true }
    // A link to them would have the new images depend on what they do not need.
    configuration.logger.warning(
      "copying everything, since the images in \(parent.path) are no base: \(reason)")
    return false
  }

  /// The parent's images, if they can be built on as far as they say themselves.
  private func openParent(of root: TargetProcess, trust: Trust) throws(SluiceError) -> ParentImages? {
    guard let path = configuration.parentDirectory, configuration.io != .discard else { return nil }
    let parent = try onImages { () throws(ImagesError) in
      try ParentImages(path: path, expecting: part.parent, trust: trust)
    }
    // By this very round, when it was tried before.
    if part.tries > 1, parent.isSetAside { return nil }
    let machine = try onTarget { () throws(TargetError) in
      ParentVerdict.Machine(uptime: Uptime.microseconds(), bootID: try Uptime.bootID())
    }
    let bootID = try onImages { () throws(ImagesError) in try parent.bootID(of: root) }
    switch ParentVerdict.judge(
      inventory: parent.inventory, bootID: bootID,
      isSetAside: parent.isSetAside,
      child: parent.child, deduplicatedFor: parent.dedupMark?.child, machine: machine)
    {
    case .usable: return parent
    case .ignored(let reason):
      configuration.logger.warning("copying everything, since the images in \(path) are no base: \(reason)")
      return nil
    }
  }

  /// - Parameters:
  ///   - parents: how many directories the round builds on.
  ///   - dirtyBytes: the memory for a set of pages that are to be copied.
  private func makeBudget(parents: Int, dirtyBytes: Int) throws(SluiceError) -> MemoryBudget {
    do throws(MemoryBudget.TooSmall) {
      return try MemoryBudget(
        total: configuration.memoryBudget,
        shares: [
          .init(purpose: "mappings", byteCount: MemoryMap.textBytes),
          .init(purpose: "page states", byteCount: PageScanner.tableBytes),
          .init(purpose: "pagemap records", byteCount: PagemapImageWriter.bufferBytes),
        ] + sharesForParent(parents, dirtyBytes: dirtyBytes) + sharesForContents,
        pageSize: Int(sluice_page_size()))
    } catch {
      throw SluiceError(error)
    }
  }

  /// The memory for a set of pages that are to be copied, because they were written since the parent's images were made
  /// or may be by devices: a share of the whole, and no more than a set can fill. That is a byte for each page where every
  /// other one was written, and two where the processes grow to twice what they have.
  private func dirtyBytes(forMemory byteCount: UInt64) -> Int {
    let most = Int(clamping: 2 * (byteCount / UInt64(sluice_page_size())))
    return max(DirtySet.smallestBytes, min(configuration.memoryBudget / 8 / dirtySets, most))
  }

  /// How many of those sets there are at once: where the walk finds out what was written, one for the next round is
  /// filled while the last one's is looked at.
  private var dirtySets: Int { part.tracking == nil ? 1 : 2 }

  private func sharesForParent(_ parents: Int, dirtyBytes: Int) -> [MemoryBudget.Share] {
    guard configuration.parentDirectory != nil || part.tracking != nil else { return [] }
    let pagemap = MemoryBudget.Share(
      purpose: "the parents' pagemaps", byteCount: parents * PagemapImageReader.bufferBytes)
    guard configuration.tracker != .content else { return [pagemap] }
    return [
      .init(purpose: "written pages", byteCount: dirtySets * dirtyBytes),
      .init(purpose: "their states", byteCount: SoftDirtyScanner.tableBytes),
      pagemap,
    ]
  }

  /// Where the contents of pages may be compared: whether they are is found out when the round begins.
  private var sharesForContents: [MemoryBudget.Share] {
    switch configuration.tracker {
    case .content: break
    case .automatic: guard configuration.parentDirectory != nil || part.tracking != nil else { return [] }
    default: return []
    }
    return [
      .init(purpose: "hashes of pages", byteCount: PageHashReader.bufferBytes + PageHashWriter.bufferBytes)
    ]
  }

  private func makeRing(_ layout: BufferLayout) throws(SluiceError) -> BufferRing {
    do throws(BufferRing.MappingFailed) {
      return try BufferRing(layout: layout)
    } catch {
      throw SluiceError(error)
    }
  }

  /// CRIU restores the processes of a user namespace as its first user, who has to read the images then: they are given
  /// to that user, who may read all of that memory anyway.
  private func makeImages(
    for first: NamespaceRoot?, parent: ParentImages?
  ) throws(SluiceError) -> UnfinishedImages? {
    guard configuration.io != .discard else { return nil }
    return try onImages { () throws(ImagesError) in
      try UnfinishedImages.create(
        at: configuration.imagesDirectory, parent: parent, owner: first.map(FileOwner.init))
    }
  }

  /// Which directory the images are in, for whoever works on them when they are complete.
  private func imagesPlace(
    _ images: borrowing UnfinishedImages?, trust: Trust
  ) throws(SluiceError) -> ImagesPlace? {
    // Optional chaining would consume it.
    switch images {
    case .some(let images):
      try onImages { () throws(ImagesError) in ImagesPlace(identity: try images.identity(), trust: trust) }
    case .none: nil
    }
  }

  /// The first task's files: what they can do is known before anything is done to a process.
  private func makeFirstOutput(
    in images: inout UnfinishedImages?, of tree: ProcessTree, expecting expected: UInt64
  ) throws(SluiceError) -> ProcessImages? {
    // If this throws, what was made goes with it.
    guard var unfinished = images.take() else { return nil }
    let task = DumpedProcess(index: 0, process: tree.processes[0])
    let output = try onImages { () throws(ImagesError) in
      try ProcessImages.create(
        in: &unfinished, of: task, pageSize: UInt64(sluice_page_size()),
        direct: configuration.io != .buffered, expecting: expected)
    }
    images = consume unfinished
    if configuration.io == .direct && !output.pages.isDirect {
      throw SluiceError(
        .cannotCreate,
        "the filesystem of \(configuration.imagesDirectory) has no direct I/O (O_DIRECT): leave --io at auto"
      )
    }
    return output
  }

  /// The channels between the stages. A thread is woken for several plans or chunks at once, where there are
  /// buffers enough. But a plan that waits holds a buffer that is no longer in the cache when it is read: so
  /// not more wait than it takes. What was read may wait a little longer, for the disk is less even than
  /// memory. In a last round it waits in all buffers that there are: until it is read, the processes stand still.
  private static func makeChannels(
    readers: Int, buffers: Int, isLast: Bool
  ) -> (PlanChannel, ChunkChannel) {
    let batch = max(1, min(4, buffers / 8))
    return (
      PlanChannel(capacity: readers + batch, senderBatch: batch),
      ChunkChannel(capacity: isLast ? buffers : min(8, buffers), receiverBatch: batch, senderBatch: batch)
    )
  }

}

extension FileOwner {
  init(_ first: NamespaceRoot) {
    self.init(user: first.user, group: first.group)
  }
}

extension PreDump.Configuration.PageStates {
  /// The same in the words of the scanner.
  var source: PageScanner.Source? {
    switch self {
    case .automatic: nil
    case .pagemapScan: .pagemapScan
    case .pagemap: .pagemap
    }
  }
}

/// What a pages file can do.
private struct OutputKind {
  let isDirect: Bool
  let isInMemory: Bool

  init(of output: borrowing ProcessImages?) {
    // Optional chaining would consume it.
    switch output {
    case .some(let output): (isDirect, isInMemory) = (output.pages.isDirect, output.pages.isInMemory)
    case .none: (isDirect, isInMemory) = (false, false)
    }
  }
}

extension PreDump.Configuration.Swapped {
  var pages: SwappedPages {
    switch self {
    case .read: .read
    case .skip: .skip
    }
  }
}
