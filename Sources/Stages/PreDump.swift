internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
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
  public let progress = ProgressFeed()

  /// Prepares a pre-dump; nothing happens before `run`, which is called once.
  public init(_ configuration: Configuration) {
    self.configuration = configuration
  }

  /// Runs to the end. Cancelling the task ends it early: nothing is kept then, and the process is as it was.
  ///
  /// - Throws: `PreDumpError`. Whatever goes wrong, no directory is left that looks finished.
  public func run() async throws(PreDumpError) -> PreDumpReport {
    // Tasks that wait for our threads are resumed by them. A thread of libdispatch that is made on such an
    // occasion would inherit our thread's CPUs: so the tasks of a run are on an executor of its own.
    let coordinator = ThreadExecutor(name: "sluice-coord")
    defer { coordinator.shutdown() }
    return try await withTaskExecutorPreference(coordinator) { () async throws(PreDumpError) in
      try await runHere()
    }
  }

  @concurrent
  private func runHere() async throws(PreDumpError) -> PreDumpReport {
    defer { progress.finish() }
    let began = sluice_monotonic_nanoseconds()
    let budget = try makeBudget()
    let process = try onTarget { () throws(TargetError) in try TargetProcess(pid: configuration.pid) }
    let ring = try makeRing(budget)
    let output = try makeOutput(for: process, pageSize: ring.layout.pageSize)
    let expected = try onTarget { () throws(TargetError) in try process.ownMemoryBytes() }
    progress.start(expecting: expected)

    // Optional chaining would consume it.
    let isDirect =
      switch output {
      case .some(let output): output.isDirect
      case .none: false
      }
    let engine = makeEngine(ring)
    let walkerThread = ThreadExecutor(name: "sluice-walker")
    let readerThreads = (0..<max(1, configuration.readers)).map { ThreadExecutor(name: "sluice-read-\($0)") }
    defer {
      walkerThread.shutdown()
      for thread in readerThreads { thread.shutdown() }
      engine.shutdown()
    }
    let (plans, chunks) = Self.makeChannels(readers: readerThreads.count, buffers: budget.buffers.count)
    let walker = MemoryWalker(
      process: process, source: configuration.pageStates.source, swapped: configuration.swapped.pages,
      ring: ring, plans: plans, executor: walkerThread)
    let readers = readerThreads.map {
      PageReader(
        memory: RemoteMemory(of: process), pageSize: ring.layout.pageSize, plans: plans, chunks: chunks,
        executor: $0)
    }
    let writer = ImageWriter(
      output: output, engine: engine, queueDepth: configuration.queueDepth, layout: ring.layout,
      chunks: chunks, progress: progress, expectedBytes: expected)

    let tracked: Tracked
    let counts: StageCounts
    do throws(PreDumpError) {
      tracked = try track(process)
      counts = try await Stages(
        walker: walker, readers: readers, writer: writer, plans: plans, chunks: chunks, progress: progress
      ).run()
      try onTarget { () throws(TargetError) in try process.checkStillTheSame() }
      guard !Task.isCancelled else { throw .cancelled }
    } catch {
      await writer.discard()
      throw error
    }
    precondition(ring.takenCount == 0, "every buffer is home when the stages have ended")

    let report = PreDumpReport(
      configuration: configuration, process: process, tracked: tracked, counts: counts, ring: ring,
      engine: engine.kind, isDirect: isDirect, began: began)
    let inventory = Inventory(dumpUptime: tracked.uptime, preDumpMode: .read)
    try await writer.publish(inventory: inventory, statistics: report.statistics, syncs: configuration.syncs)
    return report.finished(at: sluice_monotonic_nanoseconds())
  }

  private func makeBudget() throws(PreDumpError) -> MemoryBudget {
    do throws(MemoryBudget.TooSmall) {
      let budget = try MemoryBudget(
        total: configuration.memoryBudget,
        shares: [
          .init(purpose: "mappings", byteCount: MemoryMap.textBytes),
          .init(purpose: "page states", byteCount: PageScanner.tableBytes),
          .init(purpose: "pagemap records", byteCount: PagemapImageWriter.bufferBytes),
        ],
        pageSize: Int(sluice_page_size()))
      configuration.logger.info("\(budget)")
      return budget
    } catch {
      throw PreDumpError(error)
    }
  }

  private func makeRing(_ budget: MemoryBudget) throws(PreDumpError) -> BufferRing {
    do throws(BufferRing.MappingFailed) {
      return try BufferRing(layout: budget.buffers)
    } catch {
      throw PreDumpError(error)
    }
  }

  private func makeOutput(
    for process: TargetProcess, pageSize: Int
  ) throws(PreDumpError) -> ImageOutput? {
    guard configuration.io != .discard else { return nil }
    let output = try onImages { () throws(ImagesError) in
      try ImageOutput.create(
        in: configuration.imagesDirectory, namespacePid: process.namespacePid, pageSize: UInt64(pageSize),
        direct: configuration.io != .buffered)
    }
    if configuration.io == .direct && !output.isDirect {
      throw PreDumpError(
        .cannotCreate,
        "the filesystem of \(configuration.imagesDirectory) has no direct I/O (O_DIRECT): leave --io at auto"
      )
    }
    return output
  }

  /// The channels between the stages. A thread is woken for several plans or chunks at once, where there are
  /// buffers enough. But a plan that waits holds a buffer that is no longer in the cache when it is read: so
  /// not more wait than it takes. What was read may wait a little longer, for the disk is less even than
  /// memory.
  private static func makeChannels(readers: Int, buffers: Int) -> (PlanChannel, ChunkChannel) {
    let batch = max(1, min(4, buffers / 8))
    return (
      PlanChannel(capacity: readers + batch, senderBatch: batch),
      ChunkChannel(capacity: min(8, buffers), receiverBatch: batch)
    )
  }

  private func makeEngine(_ ring: BufferRing) -> any WriteEngine {
    let logger = configuration.logger
    if configuration.writeEngine == .automatic {
      do throws(RingExecutor.Unavailable) {
        return try RingExecutor(
          name: "sluice-writer", depth: configuration.queueDepth, buffers: ring,
          registersBuffers: configuration.registersBuffers
        ) { errno in
          logger.info(
            "the kernel does not register buffers (\(unsafe String(cString: errno.cName))); raise the limit on locked memory (ulimit -l) to save some CPU"
          )
        }
      } catch {
        logger.info(
          "no io_uring (\(unsafe String(cString: error.errno.cName))): writing with pwrite on threads")
      }
    }
    return ThreadWriteEngine(name: "sluice-writer", workers: configuration.queueDepth)
  }

  /// Begins to track what the process writes, where the kernel can. What is written from then on is dirty,
  /// what was written before is in the copy: so the first round needs no stop.
  private func track(_ process: TargetProcess) throws(PreDumpError) -> Tracked {
    let tracked = try onTarget { () throws(TargetError) in
      // Before the clear, never after: a process that was started later is another one to CRIU.
      let uptime = try Uptime.microseconds()
      // Without images there is nothing that later rounds could build on.
      guard configuration.io != .discard, try SoftDirty.isSupported() else {
        return Tracked(tracker: .none, uptime: uptime, clearNanoseconds: 0)
      }
      return Tracked(tracker: .softDirty, uptime: uptime, clearNanoseconds: try SoftDirty.clear(process))
    }
    configuration.logger.info("tracker: \(tracked.tracker.rawValue)")
    return tracked
  }
}

extension PreDump.Configuration.PageStates {
  fileprivate var source: PageScanner.Source? {
    switch self {
    case .automatic: nil
    case .pagemapScan: .pagemapScan
    case .pagemap: .pagemap
    }
  }
}

extension PreDump.Configuration.Swapped {
  fileprivate var pages: SwappedPages {
    switch self {
    case .read: .read
    case .skip: .skip
    }
  }
}

/// What came of the tracker's start.
struct Tracked: Sendable {
  let tracker: PreDumpReport.Tracker
  /// Microseconds since boot when it was cleared.
  let uptime: UInt64
  let clearNanoseconds: UInt64
}
