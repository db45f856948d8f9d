internal import CSluiceLinux
public import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// Copies the memory of a running process into CRIU images while it goes on running.
///
/// ```swift
/// let report = try await PreDump(.init(pid: 4711, imagesDirectory: "/var/tmp/images")).run()
/// ```
public struct PreDump: Sendable {
  /// What is to be copied, whereto and how.
  public struct Configuration: Sendable {
    /// How the states of pages are found.
    public enum PageStates: Sendable {
      /// The best that the kernel has.
      case automatic
      /// PAGEMAP_SCAN (Linux 6.7).
      case pagemapScan
      /// The entries of /proc/PID/pagemap.
      case pagemap
    }

    /// The process, by the pid that we see it under.
    public var pid: Int32
    /// The directory for the images. It is made where there is none, and must hold no images.
    public var imagesDirectory: String
    /// The memory for everything that could grow, in bytes. What it does not cover is the constant base of
    /// the program.
    public var memoryBudget = 64 << 20
    /// Where the states of pages come from.
    public var pageStates = PageStates.automatic
    /// Where the steps of the work are told.
    public var logger = Logger(label: "sluice", factory: { _ in SwiftLogNoOpLogHandler() })

    /// Everything else as most want it.
    public init(pid: Int32, imagesDirectory: String) {
      self.pid = pid
      self.imagesDirectory = imagesDirectory
    }
  }

  /// What is to be done.
  public let configuration: Configuration

  /// Prepares a pre-dump; nothing happens before `run`.
  public init(_ configuration: Configuration) {
    self.configuration = configuration
  }

  /// Runs to the end. Cancelling the task ends it early: nothing is kept then, and the process is as it was.
  ///
  /// - Throws: `PreDumpError`. Whatever goes wrong, no directory is left that looks finished.
  public func run() async throws(PreDumpError) -> PreDumpReport {
    let began = sluice_monotonic_nanoseconds()
    let logger = configuration.logger
    let budget = try makeBudget()
    let process = try onTarget { () throws(TargetError) in try TargetProcess(pid: configuration.pid) }
    let ring = try makeRing(budget)
    let images = try onImages { () throws(ImagesError) in
      try UnfinishedImages.create(at: configuration.imagesDirectory)
    }

    let executors = Executors()
    defer { executors.shutdown() }
    // A plan that waits holds a buffer that is no longer in the cache when it is read: so few wait. What was
    // read may wait a little longer, for the disk is less even than memory.
    let plans = PlanChannel(capacity: 2)
    let chunks = ChunkChannel(capacity: min(8, budget.buffers.count))
    let writer = try ImageWriter(
      images: images, namespacePid: process.namespacePid, pageSize: UInt64(budget.buffers.pageSize),
      chunks: chunks, executor: executors.writer)
    let reader = PageReader(
      memory: RemoteMemory(of: process), plans: plans, chunks: chunks, executor: executors.reader)
    let walker = MemoryWalker(
      process: process, source: configuration.pageStates.source, ring: ring, plans: plans,
      executor: executors.walker)

    let tracked: Tracked
    let counts: StageCounts
    do throws(PreDumpError) {
      tracked = try track(process)
      logger.debug("tracking", metadata: ["tracker": "\(tracked.tracker.rawValue)"])
      counts = try await Stages(walker: walker, reader: reader, writer: writer, plans: plans, chunks: chunks)
        .run()
      try onTarget { () throws(TargetError) in try process.checkStillTheSame() }
      guard !Task.isCancelled else { throw .cancelled }
    } catch {
      await writer.discard()
      throw error
    }
    precondition(ring.takenCount == 0, "every buffer is home when the stages have ended")

    let report = PreDumpReport(
      configuration: configuration, process: process, tracked: tracked, counts: counts, ring: ring,
      began: began)
    try await writer.publish(
      inventory: Inventory(dumpUptime: tracked.uptime, preDumpMode: .read), statistics: report.statistics)
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

  /// Begins to track what the process writes, where the kernel can. What is written from then on is dirty,
  /// what was written before is in the copy: so the first round needs no stop.
  private func track(_ process: TargetProcess) throws(PreDumpError) -> Tracked {
    try onTarget { () throws(TargetError) in
      // Before the clear, never after: a process that was started later is another one to CRIU.
      let uptime = try Uptime.microseconds()
      guard try SoftDirty.isSupported() else {
        return Tracked(tracker: .none, uptime: uptime, clearNanoseconds: 0)
      }
      return Tracked(tracker: .softDirty, uptime: uptime, clearNanoseconds: try SoftDirty.clear(process))
    }
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

/// What came of the tracker's start.
struct Tracked: Sendable {
  let tracker: PreDumpReport.Tracker
  /// Microseconds since boot when it was cleared.
  let uptime: UInt64
  let clearNanoseconds: UInt64
}

/// The threads of one run.
private struct Executors {
  let walker = ThreadExecutor(name: "sluice-walker")
  let reader = ThreadExecutor(name: "sluice-reader")
  let writer = ThreadExecutor(name: "sluice-writer")

  func shutdown() {
    for executor in [walker, reader, writer] { executor.shutdown() }
  }
}
