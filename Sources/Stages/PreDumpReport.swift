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
  /// The bytes of the pages file.
  public let bytesWritten: UInt64
  /// Mappings of the process, and those left out by the reason's name.
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

  private let began: UInt64
  let statistics: DumpStatistics

  init(
    configuration: PreDump.Configuration, process: TargetProcess, tracked: Tracked, counts: StageCounts,
    ring: BufferRing, began: UInt64
  ) {
    pid = process.pid
    namespacePid = process.namespacePid
    imagesDirectory = configuration.imagesDirectory
    tracker = tracked.tracker
    pageSize = UInt64(ring.layout.pageSize)
    pagesScanned = counts.walker.pagesFound
    pagesWritten = counts.writer.pagesWritten
    pagesSkippedParent = 0
    pagesVanished = counts.reader.vanishedBytes / pageSize
    pagesForced = counts.reader.forcedBytes / pageSize
    bytesWritten = counts.writer.bytesWritten
    mappings = counts.walker.mappings
    mappingsSkipped = Dictionary(
      uniqueKeysWithValues: counts.walker.skipped.map { ($0.key.rawValue, $0.value) })
    frozenMicroseconds = 0
    clearMicroseconds = tracked.clearNanoseconds / 1000
    memoryBudget = configuration.memoryBudget
    buffersBytes = ring.touchedBytes
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
