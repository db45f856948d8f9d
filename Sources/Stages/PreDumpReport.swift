internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// What a pre-dump did.
public struct PreDumpReport: Sendable {
  /// What tells the next round which pages were written meanwhile.
  public enum Tracker: String, Sendable {
    /// The soft-dirty bit, which CRIU's final dump understands too.
    case softDirty = "soft-dirty"
    /// This kernel has none: the images are right, but CRIU cannot take them as a parent.
    case none
  }

  /// The process, by the pid that we see it under.
  public let pid: Int32
  /// The pid in the process' own pid namespace, which the images are named by.
  public let namespacePid: Int32
  /// Where the images are, as it was asked for.
  public let imagesDirectory: String
  /// What tracks the writes since.
  public let tracker: Tracker
  /// Bytes.
  public let pageSize: UInt64
  /// Pages with data of the process' own that the page tables showed.
  public let pagesScanned: UInt64
  /// Pages in the pages file.
  public let pagesWritten: UInt64
  /// Pages that the parent has already.
  public let pagesSkippedParent: UInt64
  /// Pages that were there when they were found and gone when they should be read.
  public let pagesVanished: UInt64
  /// Pages that the process itself may not read, taken all the same.
  public let pagesForced: UInt64
  /// Pages that were in swap when they were found.
  public let pagesSwapped: UInt64
  /// Pages that were left out, by the reason's name: "zero" (only read so far), "guard" (touching them is an
  /// error) and "swapped" (as it was asked for).
  public let pagesSkipped: [String: UInt64]
  /// The bytes of the pages file.
  public let bytesWritten: UInt64
  /// Pages among them that are all zeros.
  public let pagesZero: UInt64
  /// Bytes of the pages file that take no space, because they are zeros.
  public let holeBytes: UInt64
  /// Mappings of the process.
  public let mappings: Int
  /// Mappings that were left out, by the reason's name.
  public let mappingsSkipped: [String: Int]
  /// From the call to the valid images, in microseconds.
  public private(set) var durationMicroseconds: UInt64 = 0
  /// How long the process was stopped, in microseconds.
  public let frozenMicroseconds: UInt64
  /// How long the tracker took to clear, in microseconds; a thread of the process that maps memory waits
  /// for that.
  public let clearMicroseconds: UInt64
  /// Bytes, as asked for.
  public let memoryBudget: Int
  /// The bytes of the buffers that were ever in use.
  public let buffersBytes: Int

  /// What did the writes: "io_uring" or "pwrite".
  public let writeEngine: String
  /// Whether they went past the page cache.
  public let isDirect: Bool
  /// Threads that read the process' memory.
  public let readers: Int
  /// Where the time went: how long each stage waited for another.
  public let stalls: Stalls

  private let began: UInt64
  let statistics: DumpStatistics

  init(
    configuration: PreDump.Configuration, process: TargetProcess, tracked: Tracked, counts: StageCounts,
    ring: BufferRing, engine: String, isDirect: Bool, began: UInt64
  ) {
    pid = process.pid
    namespacePid = process.namespacePid
    imagesDirectory = configuration.imagesDirectory
    tracker = tracked.tracker
    pageSize = UInt64(ring.layout.pageSize)
    pagesScanned = counts.walker.pagesFound
    pagesWritten = counts.writer.pagesWritten
    pagesSkippedParent = 0
    pagesVanished = counts.readers.vanishedBytes / pageSize
    pagesForced = counts.readers.forcedBytes / pageSize
    pagesSwapped = counts.walker.pages.swapped
    pagesSkipped = [
      "zero": counts.walker.pages.skippedZero, "guard": counts.walker.pages.skippedGuard,
      "swapped": counts.walker.pages.skippedSwapped,
    ]
    bytesWritten = counts.writer.bytesWritten
    pagesZero = counts.writer.zeroPages
    holeBytes = counts.writer.holeBytes
    mappings = counts.walker.mappings
    mappingsSkipped = Dictionary(
      uniqueKeysWithValues: counts.walker.skipped.map { ($0.key.rawValue, $0.value) })
    frozenMicroseconds = 0
    clearMicroseconds = tracked.clearNanoseconds / 1000
    memoryBudget = configuration.memoryBudget
    buffersBytes = ring.touchedBytes
    writeEngine = engine
    self.isDirect = isDirect
    readers = max(1, configuration.readers)
    stalls = Stalls(counts)
    self.began = began

    var statistics = DumpStatistics()
    statistics.collectingMicroseconds = Self.short(counts.walker.endedAt - began)
    statistics.writingMicroseconds = Self.short(counts.writer.writingNanoseconds)
    statistics.pagesScanned = pagesScanned
    statistics.pagesSkippedParent = pagesSkippedParent
    statistics.pagesWritten = pagesWritten
    self.statistics = statistics
  }

  /// Nanoseconds as the microseconds of stats-dump, which end at 71 minutes.
  private static func short(_ nanoseconds: UInt64) -> UInt32 {
    UInt32(clamping: nanoseconds / 1000)
  }

  func finished(at end: UInt64) -> PreDumpReport {
    var report = self
    report.durationMicroseconds = (end - began) / 1000
    return report
  }
}

extension PreDumpReport {
  /// How long the stages waited for each other. The stage that hardly waits is the one that bounds the rate.
  public struct Stalls: Hashable, Sendable {
    /// One kind of wait.
    public struct Wait: Hashable, Sendable {
      /// Of all threads of the stage together.
      public let microseconds: UInt64
      /// What had to wait.
      public let bytes: UInt64

      fileprivate init(_ stall: Stall) {
        microseconds = stall.nanoseconds / 1000
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

    init(_ counts: StageCounts) {
      walkerWithoutBuffer = Wait(counts.walker.withoutBuffer)
      walkerPlansFull = Wait(counts.walker.plansFull)
      readerWithoutPlan = Wait(counts.readers.withoutPlan)
      readerChunksFull = Wait(counts.readers.chunksFull)
      writerWithoutChunk = Wait(counts.writer.withoutChunk)
      writerQueueFull = Wait(counts.writer.queueFull)
    }
  }
}
