internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// What a pre-dump did. Encoded, it is what the command prints as JSON of one pre-dump.
public struct PreDumpReport: Sendable, Codable {
  /// What tells the next round which pages were written meanwhile.
  public enum Tracker: String, Sendable, Codable {
    /// The soft-dirty bit, which CRIU's final dump understands too.
    case softDirty = "soft-dirty"
    /// Asynchronous write protection, which ends with this run: further rounds of it can build on the images, but
    /// neither CRIU nor later runs.
    case writeProtect = "write-protect"
    /// Both: no round stops the processes, and CRIU's final dump can build on the images.
    case both
    /// Nothing of the kernel: the next round compares all pages, by their hashes. Later runs can build on the images, but
    /// CRIU cannot.
    case content
    /// The images are right, but nothing can build on them. (Not called `none`, which of an optional would be another.)
    case nothing = "none"

    /// Whether the soft-dirty bits were cleared for the round, so that what was written since is known to CRIU too.
    var seesSoftDirty: Bool { self == .softDirty || self == .both }
  }

  /// The process, by its pid in our pid namespace.
  public let pid: Int32
  /// The pid in the process' own pid namespace, which the images are named by.
  public let namespacePid: Int32
  /// All processes that were copied, the named one first.
  public let processes: [ProcessReport]
  /// Descendants that were not copied: their pids and why.
  public var processesSkipped: [Int32: String] {
    Dictionary(
      processesSkippedByName.compactMap { name, reason in Int32(name).map { ($0, reason) } },
      uniquingKeysWith: { first, _ in first })
  }
  /// Descendants that were not copied: by their pids, why. (Numbers are no keys of an object in JSON.)
  private let processesSkippedByName: [String: String]
  /// Where the images are, as the directory was named.
  public let imagesDirectory: String
  /// How often the round was begun: it is made again when the process executes another program in the middle of it.
  public let tries: Int
  /// The images that these build on; nil where everything was copied.
  public let parentDirectory: String?
  /// The page server that the pages went to, as it was named; nil where they went into the images directory.
  public let pageServer: String?
  /// Whether pages that went to a page server were kept in the images directory as well; nil where there is no server.
  private let keepsPages: Bool?
  /// Whether the pages are in the images directory.
  public var hasPages: Bool { keepsPages ?? true }
  /// How pages are found that are written from now on.
  public let tracker: Tracker
  /// The size of a page, in bytes.
  public let pageSize: UInt64
  /// Pages with data of the process' own that the page tables showed.
  public let pagesScanned: UInt64
  /// Pages in the pages file.
  public let pagesWritten: UInt64
  /// Pages that the parent has already.
  public let pagesSkippedParent: UInt64
  /// Pages that were found, but unmapped by the process before they could be read.
  public let pagesVanished: UInt64
  /// Copied pages that the process itself may not read.
  public let pagesForced: UInt64
  /// Pages that were in swap when they were found.
  public let pagesSwapped: UInt64
  /// Pages that were left out, by the reason's name: "zero" (only read so far), "guard" (touching them is an
  /// error) and "swapped" (`PreDump.Configuration.Swapped.skip`).
  public let pagesSkipped: [String: UInt64]
  /// The bytes of the pages file.
  public let bytesWritten: UInt64
  /// Written pages that are all zeros.
  public let pagesZero: UInt64
  /// Bytes of the pages file that take no space, because they are zeros.
  public let holeBytes: UInt64
  /// Mappings of the process.
  public let mappings: Int
  /// Mappings that were left out, by the reason's name.
  public let mappingsSkipped: [String: Int]
  /// How long all of it took, from the call to the valid images.
  @Microseconds public private(set) var duration: Duration = .zero
  /// How long the processes were stopped: from the moment when the last one was stopped until all ran again.
  @Microseconds public private(set) var frozen: Duration
  /// How long any of the processes was stopped: from the moment when the first one was told to stop until all ran again.
  @Microseconds public private(set) var stopped: Duration
  /// In a last round, how long that was to take, as it was reckoned just before; in others, how long it would have taken
  /// to stop them when the round was complete, and to copy what was left. Nil where it was not reckoned.
  public internal(set) var predictedStop: Duration? {
    get { predictedMicroseconds.map { .microseconds(Int64(clamping: $0)) } }
    set { predictedMicroseconds = newValue.map { $0.inMicroseconds } }
  }
  /// How long the last stop was predicted to take just before it; or how long a stop would have taken when the round was
  /// complete. In microseconds; nil where it was not predicted.
  private var predictedMicroseconds: UInt64?
  /// Whether it was a last round, for which the processes were stopped until everything was copied.
  public let isLast: Bool
  /// The parts of the stop.
  public let stop: Stop
  /// How long threads were stopped to begin tracking, one thread of each process; of all of them together.
  @Microseconds public private(set) var injectionTime: Duration
  /// How many threads were stopped to begin tracking.
  public let injections: Int
  /// How long it took to reset the record of written pages; a thread of the process that maps memory waits for that.
  @Microseconds public private(set) var clearTime: Duration
  /// The memory budget that was asked for, in bytes.
  public let memoryBudget: Int
  /// The size of the buffers that were ever in use, in bytes.
  public let buffersBytes: Int

  /// What did the writes: "io_uring" or "pwrite".
  public let writeEngine: String
  /// Whether the writes went past the page cache.
  public let isDirect: Bool
  /// Threads that read the process' memory.
  public let readers: Int
  /// Who has read what where; nil where there is one node, or nothing was to be placed.
  public private(set) var numa: NUMA?
  /// Where the time went: how long each stage waited for another.
  public let stalls: Stalls

  /// Where the images are, whatever becomes of the path; nil where none were made.
  private(set) var place: ImagesPlace?
  private var began: UInt64 = 0
  private var writingNanoseconds: UInt64 = 0
  private(set) var statistics = DumpStatistics()

  private enum CodingKeys: String, CodingKey {
    case pid
    case namespacePid = "namespace_pid"
    case processes = "tasks"
    case processesSkippedByName = "tasks_skipped"
    case imagesDirectory = "images_dir"
    case tries
    case parentDirectory = "parent_dir"
    case pageServer = "page_server"
    case keepsPages = "pages_kept"
    case tracker
    case pageSize = "page_size"
    case pagesScanned = "pages_scanned"
    case pagesWritten = "pages_written"
    case pagesSkippedParent = "pages_skipped_parent"
    case pagesVanished = "pages_vanished"
    case pagesForced = "pages_forced"
    case pagesSwapped = "pages_swapped"
    case pagesSkipped = "pages_skipped"
    case bytesWritten = "bytes_written"
    case pagesZero = "pages_zero"
    case holeBytes = "hole_bytes"
    case mappings
    case mappingsSkipped = "mappings_skipped"
    case duration = "duration_us"
    case frozen = "frozen_us"
    case isLast = "final"
    case stopped = "stopped_us"
    case predictedMicroseconds = "predicted_stop_us"
    case stop
    case injectionTime = "injection_us"
    case injections
    case clearTime = "clear_us"
    case memoryBudget = "memory_budget"
    case buffersBytes = "buffers_bytes"
    case writeEngine = "write_engine"
    case isDirect = "direct_io"
    case readers
    case numa
    case stalls
  }

  init(
    configuration: PreDump.Configuration, tries: Int, start: PreparedRound, counts: RunCounts,
    lease: RuntimeLease, readers: Int, isDirect: Bool, parent: String?, began: UInt64
  ) {
    let ring = lease.ring
    processes = start.processes.map { ProcessReport($0, counts) }
    let total = counts.total(of: start.processes)
    pid = start.processes[0].process.pid
    namespacePid = start.processes[0].process.namespacePid
    processesSkippedByName = Dictionary(
      start.skipped.map { ("\($0.pid)", $0.reason) }, uniquingKeysWith: { first, _ in first })
    imagesDirectory = configuration.imagesDirectory
    self.tries = tries
    parentDirectory = parent
    pageServer = configuration.pageServer.map { "\($0)" }
    keepsPages = configuration.pageServer?.keepsPages
    tracker = start.tracker
    pageSize = UInt64(ring.layout.pageSize)
    pagesScanned = total.walker.pagesFound
    pagesWritten = total.sink.pagesWritten
    pagesSkippedParent = total.walker.pagesInParent + total.left
    pagesVanished = counts.reads.vanishedBytes / pageSize
    pagesForced = counts.reads.forcedBytes / pageSize
    pagesSwapped = total.walker.pages.swapped
    pagesSkipped = [
      "zero": total.walker.pages.skippedZero, "guard": total.walker.pages.skippedGuard,
      "swapped": total.walker.pages.skippedSwapped,
    ]
    bytesWritten = total.sink.bytesWritten
    pagesZero = total.sink.zeroPages
    holeBytes = total.sink.holeBytes
    mappings = total.walker.mappings
    mappingsSkipped = Dictionary(
      uniqueKeysWithValues: total.walker.skipped.map { ($0.key.rawValue, $0.value) })
    let parts = Stop(start.stop)
    let stoodStill = parts.scanning + parts.clearing + parts.copying + parts.resuming
    (stop, frozen, stopped) = (parts, stoodStill, parts.stopping + stoodStill)
    // None took no time at all.
    injectionTime = start.injections.reduce(.zero) { $0 + .microseconds(Int64(clamping: ($1 + 999) / 1000)) }
    injections = start.injections.count
    clearTime = .nanoseconds(counted: start.clearNanoseconds)
    memoryBudget = configuration.memoryBudget
    buffersBytes = ring.touchedBytes
    writeEngine = lease.engine.kind
    self.isDirect = isDirect
    self.readers = readers
    stalls = Stalls(counts)
    let (read, bytesOfPage) = (counts.stages.readers.nodes, pageSize)
    numa = lease.placing.map { NUMA($0, ring: ring, read: read, pageSize: bytesOfPage) }
    self.began = began
    writingNanoseconds = counts.stages.sink.writingNanoseconds
    isLast = start.standing != nil

    var statistics = DumpStatistics()
    statistics.freezingMicroseconds = UInt32(clamping: stop.stopping.inMicroseconds)
    statistics.frozenMicroseconds = UInt32(clamping: frozen.inMicroseconds)
    statistics.collectingMicroseconds = Self.short(counts.stages.source.endedAt - began)
    statistics.writingMicroseconds = Self.short(counts.stages.sink.writingNanoseconds)
    statistics.pagesScanned = pagesScanned
    statistics.pagesSkippedParent = pagesSkippedParent
    statistics.pagesWritten = pagesWritten
    self.statistics = statistics
  }

  /// Nanoseconds as the microseconds of stats-dump, which end at 71 minutes.
  private static func short(_ nanoseconds: UInt64) -> UInt32 {
    UInt32(clamping: nanoseconds / 1000)
  }

  /// - Parameter node: the one that the writer was on; nil where it was on any.
  mutating func tell(writerNode node: Int?) { numa?.writerNode = node }

  mutating func finish(at end: UInt64, in place: ImagesPlace?) {
    self.place = place
    duration = .nanoseconds(counted: end - began)
  }

  /// What was written in a second, in bytes, by those that were busy with it for long enough to tell; nil for others.
  var writeRate: Double? {
    guard bytesWritten >= 16 << 20, writingNanoseconds > 0 else { return nil }
    return Double(bytesWritten) / Double(writingNanoseconds) * 1e9
  }
}

extension PreDumpReport {
  /// What became of one process.
  public struct ProcessReport: Sendable, Codable {
    /// The process, by its pid in our pid namespace.
    public let pid: Int32
    /// The pid in its own pid namespace, which its images are named by.
    public let namespacePid: Int32
    /// The number in the name of its pages file.
    public let pagesID: UInt32
    /// Why it has no images; nil where it has.
    public let error: String?
    /// Pages with data of its own that the page tables showed.
    public let pagesScanned: UInt64
    /// Pages in its pages file.
    public let pagesWritten: UInt64
    /// Pages that the parent has already.
    public let pagesSkippedParent: UInt64
    private var startTime: UInt64 = 0
    private var machineStartTime: UInt64 = 0

    /// Which process it is.
    var identity: ProcessTree.Identity {
      ProcessTree.Identity(namespacePid: namespacePid, startTime: startTime)
    }

    /// The same in the words of sources and sinks.
    var owner: ProcessIdentity {
      ProcessIdentity(pid: pid, namespacePid: namespacePid, startTime: machineStartTime)
    }

    private enum CodingKeys: String, CodingKey {
      case pid
      case namespacePid = "namespace_pid"
      case pagesID = "pages_id"
      case error
      case pagesScanned = "pages_scanned"
      case pagesWritten = "pages_written"
      case pagesSkippedParent = "pages_skipped_parent"
    }

    init(_ dumped: DumpedProcess, _ counts: RunCounts) {
      let own = counts.counts(of: dumped)
      pid = dumped.process.pid
      namespacePid = dumped.process.namespacePid
      startTime = dumped.process.identity.startTime
      machineStartTime = dumped.process.machineStartTime
      pagesID = ImageNames.pagesID(at: dumped.index)
      error = dumped.error?.description
      pagesScanned = own.walker.pagesFound
      pagesWritten = own.sink.pagesWritten
      pagesSkippedParent = own.walker.pagesInParent + own.left
    }
  }

  /// The parts of a stop; all zero where there was none.
  public struct Stop: Hashable, Sendable, Codable {
    /// From the first attempt to stop anything until everything stood still.
    @Microseconds public private(set) var stopping: Duration
    /// Until it was known which pages were written.
    @Microseconds public private(set) var scanning: Duration
    /// Until the tracker was cleared.
    @Microseconds public private(set) var clearing: Duration
    /// Until everything was copied, in a last round; zero in others, which copy while the processes run.
    @Microseconds public private(set) var copying: Duration
    /// Until everything ran again.
    @Microseconds public private(set) var resuming: Duration

    private enum CodingKeys: String, CodingKey {
      case stopping = "stop_us"
      case scanning = "scan_us"
      case clearing = "clear_us"
      case copying = "copy_us"
      case resuming = "resume_us"
    }

    init(_ times: PreparedRound.StopTimes?) {
      stopping = .nanoseconds(counted: times?.stopping ?? 0)
      scanning = .nanoseconds(counted: times?.scanning ?? 0)
      clearing = .nanoseconds(counted: times?.clearing ?? 0)
      copying = .nanoseconds(counted: times?.copying ?? 0)
      resuming = .nanoseconds(counted: times?.resuming ?? 0)
    }
  }

  /// How long the stages waited for each other. The stage that hardly waits is the one that bounds the rate.
  public struct Stalls: Hashable, Sendable, Codable {
    /// One kind of wait.
    public struct Wait: Hashable, Sendable, Codable {
      /// Of all threads of the stage together.
      @Microseconds public private(set) var duration: Duration
      /// What had to wait.
      public let bytes: UInt64

      private enum CodingKeys: String, CodingKey {
        case duration = "us"
        case bytes
      }

      fileprivate init(_ stall: StageWait) {
        duration = .nanoseconds(counted: stall.nanoseconds)
        bytes = stall.bytes
      }
    }

    /// The walker, for a buffer to come back: the memory budget is used up.
    public let walkerWithoutBuffer: Wait
    /// The walker, for a reader to take a plan.
    public let walkerPlansFull: Wait
    /// The readers, for something to read.
    public let readerWithoutPlan: Wait
    /// The readers, for the writer to take what was read.
    public let readerChunksFull: Wait
    /// The writer, for something to write.
    public let writerWithoutChunk: Wait
    /// The writer, because as many writes were in flight as may be.
    public let writerQueueFull: Wait

    private enum CodingKeys: String, CodingKey {
      case walkerWithoutBuffer = "walker_without_buffer"
      case walkerPlansFull = "walker_plans_full"
      case readerWithoutPlan = "reader_without_plan"
      case readerChunksFull = "reader_chunks_full"
      case writerWithoutChunk = "writer_without_chunk"
      case writerQueueFull = "writer_queue_full"
    }

    init(_ counts: RunCounts) {
      let stages = counts.stages
      walkerWithoutBuffer = Wait(stages.source.withoutBuffer)
      walkerPlansFull = Wait(stages.source.plansFull)
      readerWithoutPlan = Wait(stages.readers.withoutPlan)
      readerChunksFull = Wait(stages.readers.chunksFull)
      writerWithoutChunk = Wait(stages.sink.withoutChunk)
      writerQueueFull = Wait(counts.queueFull)
    }
  }
}
