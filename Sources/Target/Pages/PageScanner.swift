internal import CSluiceLinux

/// Finds the pages of a process that hold data of its own: present or swapped, not a clean page of a
/// file, not the zero page.
///
/// It goes in steps. The kernel holds the process' mmap_lock while it looks at page tables, and a thread
/// of the process that maps memory then waits: so a step covers no more than some 16 MiB of populated
/// memory (measured: 28–57 ms of waiting for one scan over 4 GiB, nothing measurable in steps). For the same
/// reason no pre-dump reads /proc/PID/smaps (75–93 ms), though it alone tells some kinds of mappings: a core cannot do without
/// (`MappingDetails`).
public struct PageScanner: ~Copyable {
  /// Where page states come from.
  public enum Source: String, Sendable {
    /// The PAGEMAP_SCAN ioctl of Linux 6.7.
    case pagemapScan = "PAGEMAP_SCAN"
    /// The 64-bit entries of /proc/PID/pagemap.
    case pagemap
  }

  /// The bytes that a scanner holds.
  public static let tableBytes =
    PagemapScan.regionCapacity * (MemoryLayout<PageRegion>.stride + MemoryLayout<ScannedRun>.stride)
    + PagemapEntries.capacity * MemoryLayout<UInt64>.stride

  /// What a scanner is made of.
  struct Terms: Sendable {
    let process: TargetProcess
    let source: Source
    let swapped: SwappedPages
    let standsStill: Bool
  }

  /// Where the page states come from.
  let source: Source
  private let process: TargetProcess
  private let standsStill: Bool
  private var states: any PageStates
  private var found: FoundPages

  /// The runs that the last step found, in address order; those that touch differ in what is to be done.
  var runs: [ScannedRun] { found.runs }
  /// What all steps came across.
  var tally: PageTally { found.tally }
  /// What another scanner of the same pages is made of.
  var terms: Terms {
    Terms(process: process, source: source, swapped: found.swapped, standsStill: standsStill)
  }

  /// - Parameters:
  ///   - process: whose pages.
  ///   - source: nil takes the best that this kernel has.
  ///   - swapped: what becomes of pages that are in swap.
  ///   - standsStill: whether the process is stopped, so that nobody waits for its mmap_lock.
  /// - Throws: `TargetError` when the kernel answers neither way.
  init(
    of process: TargetProcess, source: Source? = nil, swapped: SwappedPages = .read,
    standsStill: Bool = false
  ) throws(TargetError) {
    self.process = process
    self.standsStill = standsStill
    let pageSize = UInt64(sluice_page_size())
    let offered = PagemapScan.offered(by: process.pagemap)
    self.source = source ?? (offered == nil ? .pagemap : .pagemapScan)
    found = FoundPages(pageSize: pageSize, swapped: swapped)
    found.reserve(runs: PagemapScan.regionCapacity)
    switch self.source {
    case .pagemapScan:
      states = PagemapScan(
        pageSize: pageSize, knowsGuards: offered?.guards ?? false, standsStill: standsStill)
    case .pagemap: states = try PagemapEntries(pageSize: pageSize)
    }
  }

  /// - Throws: `TargetError` when the kernel answers neither way.
  init(by terms: Terms) throws(TargetError) {
    try self.init(
      of: terms.process, source: terms.source, swapped: terms.swapped, standsStill: terms.standsStill)
  }

  /// Scans from `start` towards `end`, a step. Both are page boundaries.
  ///
  /// - Parameter isFileBacked: whether pages may be a file's. Elsewhere the page table's word on that is
  ///   not asked for: it calls the huge zero page a file's too, which must be taken.
  /// - Parameter writes: how it is found out whether pages were written; other than `.unseen` only where the source
  ///   is `pagemapScan`.
  /// - Returns: where the step ended, which is `end` when nothing is left; `runs` has what was found.
  /// - Throws: `TargetError` when the process' memory is gone or the kernel refuses.
  mutating func step(
    from start: UInt64, to end: UInt64, isFileBacked: Bool, writes: DirtyCriterion = .unseen
  ) throws(TargetError) -> UInt64 {
    found.removeRuns()
    return try states.step(
      through: start..<end, of: process, isFileBacked: isFileBacked, writes: writes, into: &found)
  }

  /// The same by which pages of a piece are taken: where that is all, nothing is asked, and the step ends at its end.
  mutating func step(through piece: WalkPiece) throws(TargetError) -> UInt64 {
    found.removeRuns()
    return try addStep(through: piece)
  }

  /// Scans a whole piece, in as many steps as that takes.
  ///
  /// - Parameter runs: gets what was found, in address order, in place of what is in it.
  mutating func scan(_ piece: WalkPiece, into runs: inout [ScannedRun]) throws(TargetError) {
    exchangeRuns(&runs)
    defer { exchangeRuns(&runs) }
    found.removeRuns()
    var rest = piece
    while !rest.range.isEmpty { rest.range = try addStep(through: rest)..<rest.range.upperBound }
  }

  /// Gives the runs that were found for others, whose memory the next step uses.
  mutating func exchangeRuns(_ runs: inout [ScannedRun]) { found.exchangeRuns(&runs) }

  private mutating func addStep(through piece: WalkPiece) throws(TargetError) -> UInt64 {
    let isFileBacked = piece.pages == .copiedFromFile
    guard piece.pages != .all else {
      found.add(
        .present, from: piece.range.lowerBound, to: piece.range.upperBound,
        mustCopy: piece.writes.verdict(on: 0, isFileBacked: false).mustCopy)
      return piece.range.upperBound
    }
    return try states.step(
      through: piece.range, of: process, isFileBacked: isFileBacked, writes: piece.writes, into: &found)
  }
}

/// A way to ask the kernel for the states of pages.
protocol PageStates {
  /// Adds what is in the first part of `range`.
  ///
  /// - Returns: where that part ends.
  /// - Throws: `TargetError` when the memory is gone or the kernel refuses.
  mutating func step(
    through range: Range<UInt64>, of process: TargetProcess, isFileBacked: Bool, writes: DirtyCriterion,
    into pages: inout FoundPages
  ) throws(TargetError) -> UInt64
}
