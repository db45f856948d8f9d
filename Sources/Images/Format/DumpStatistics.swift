internal import CSluiceImages

/// The contents of stats-dump. Container engines read it after every round to decide on the next.
public struct DumpStatistics: Hashable, Sendable {
  /// The file that has it, in every images directory.
  public static let fileName = ImageFormat.statsName
  /// Microseconds from the first attempt to stop the process until it stood still.
  public var freezingMicroseconds: UInt32 = 0
  /// Microseconds for which it stood still.
  public var frozenMicroseconds: UInt32 = 0
  /// Microseconds of finding out which pages to take.
  public var collectingMicroseconds: UInt32 = 0
  /// Microseconds of writing them.
  public var writingMicroseconds: UInt32 = 0
  /// Pages that were looked at.
  public var pagesScanned: UInt64 = 0
  /// Pages that the parent has already.
  public var pagesSkippedParent: UInt64 = 0
  /// Pages in the pages file.
  public var pagesWritten: UInt64 = 0

  /// All figures 0.
  public init() {}

  /// The bytes of stats-dump.
  func encoded() -> [UInt8] {
    var dump = unsafe Sluice__DumpStatsEntry.blank
    unsafe dump.freezing_time = freezingMicroseconds
    unsafe dump.frozen_time = frozenMicroseconds
    unsafe dump.memdump_time = collectingMicroseconds
    unsafe dump.memwrite_time = writingMicroseconds
    unsafe dump.pages_scanned = pagesScanned
    unsafe dump.pages_skipped_parent = pagesSkippedParent
    unsafe dump.pages_written = pagesWritten
    // CRIU writes all of these, and programs that read them do not ask whether they are there. Sluice has no such pipes,
    // and leaves shared memory alone.
    unsafe dump.has_irmap_resolve = 1
    unsafe dump.has_page_pipes = 1
    unsafe dump.has_page_pipe_bufs = 1
    unsafe dump.has_shpages_scanned = 1
    unsafe dump.has_shpages_skipped_parent = 1
    unsafe dump.has_shpages_written = 1
    return unsafe withUnsafeMutablePointer(to: &dump) { pointer in
      var entry = unsafe Sluice__StatsEntry.blank
      unsafe entry.dump = pointer
      return unsafe Records.file(
        magics: [ImageFormat.serviceMagic, ImageFormat.statsMagic], message: entry)
    }
  }
}
