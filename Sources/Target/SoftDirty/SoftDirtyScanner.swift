internal import CSluiceLinux

/// Finds the pages of a process that were written since its soft-dirty bits were cleared. Made before the
/// process is stopped, so that nothing is allocated while it is stopped.
public struct SoftDirtyScanner: ~Copyable {
  private static let regionCapacity = 2048
  private static let entryCapacity = 8 << 10
  /// The bytes that a scanner holds, at most.
  public static let tableBytes = max(
    regionCapacity * MemoryLayout<PageRegion>.stride, entryCapacity * MemoryLayout<UInt64>.stride)

  /// Where the bits come from.
  public let source: PageScanner.Source
  private let pageSize = UInt64(sluice_page_size())
  private var regions = ScannedRegions(capacity: 0)
  private var entries = EntryTable(capacity: 0)

  /// - Parameters:
  ///   - process: one of those that will be looked at.
  ///   - source: nil takes the best that this kernel has.
  public init(like process: TargetProcess, source: PageScanner.Source? = nil) {
    // PAGEMAP_SCAN tells the soft-dirty bit since Linux 6.8.
    let isOffered = ScannedRegions.isOffered(Self.scan(.own), by: process.pagemap)
    self.source = source ?? (isOffered ? .pagemapScan : .pagemap)
    switch self.source {
    case .pagemapScan: regions = ScannedRegions(capacity: Self.regionCapacity)
    case .pagemap: entries = EntryTable(capacity: Self.entryCapacity)
    }
  }

  private static func scan(_ pages: MappedArea.Pages) -> sluice_scan {
    var scan = sluice_scan()
    let (dirty, file) = (UInt64(SLUICE_PAGE_SOFT_DIRTY.rawValue), UInt64(SLUICE_PAGE_FILE.rawValue))
    scan.return_mask = dirty
    guard pages != .all else {
      scan.category_mask = dirty
      return scan
    }
    scan.category_mask = dirty | file
    scan.category_inverted = file
    scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | SLUICE_PAGE_SWAPPED.rawValue)
    return scan
  }

  /// Adds the pages of a process that were written to a set, as those of its current process.
  ///
  /// Pages of files and shared memory are left out, but for areas that are taken whole: nothing writes those, but
  /// since an execve they may be where other memory was. For the rest, more pages may be named than a pre-dump
  /// takes.
  ///
  /// - Parameter checking: what is made sure of in between, and ends this by what it throws.
  /// - Throws: `TargetError` when the process' memory is gone or the kernel refuses.
  public mutating func collect(
    _ process: TargetProcess, into set: inout DirtySet,
    checking: () throws(TargetError) -> Void = TargetError.checkCancellation
  ) throws(TargetError) {
    // Nobody waits for the mmap_lock of a process that is stopped: so the pieces are scanned whole, and not in the steps
    // of a `PageWalk`, which takes all memory that it needs for each process anew.
    var pieces = WalkPieces(of: ListedMemory(of: process), mode: .everything)
    while let piece = try pieces.next() {
      try look(at: piece, of: process, checking) { set.add(from: $0, to: $1) }
    }
  }

  /// Tells the pages of a piece that were written, in address order.
  fileprivate mutating func look(
    at piece: WalkPiece, of process: TargetProcess, _ checking: () throws(TargetError) -> Void,
    found: (UInt64, UInt64) -> Void
  ) throws(TargetError) {
    switch source {
    case .pagemapScan: try scan(piece, of: process, checking, found)
    case .pagemap: try readEntries(of: piece, of: process, checking, found)
    }
  }

  private static let doing = "looking for the written pages"

  private mutating func scan(
    _ piece: WalkPiece, of process: TargetProcess, _ checking: () throws(TargetError) -> Void,
    _ found: (UInt64, UInt64) -> Void
  ) throws(TargetError) {
    var scan = Self.scan(piece.pages)
    scan.start = piece.range.lowerBound
    scan.end = piece.range.upperBound
    while scan.start < scan.end {
      try checking()
      scan.start = try regions.scan(scan, of: process, doing: Self.doing)
      for region in regions.found { found(region.start, region.end) }
    }
  }

  private mutating func readEntries(
    of piece: WalkPiece, of process: TargetProcess, _ checking: () throws(TargetError) -> Void,
    _ found: (UInt64, UInt64) -> Void
  ) throws(TargetError) {
    let end = piece.range.upperBound
    var start = piece.range.lowerBound
    while start < end {
      try checking()
      let count = try entries.read(start..<end, of: process, doing: Self.doing)
      var index = entries.first(with: PagemapEntry.softDirty, from: 0, of: count)
      while index < count {
        if PagemapEntry.isDirty(entries[index], piece.pages) {
          let address = start + UInt64(index) * pageSize
          found(address, address + pageSize)
        }
        index = entries.first(with: PagemapEntry.softDirty, from: index + 1, of: count)
      }
      start += UInt64(count) * pageSize
    }
  }
}

/// The memory of a process that stands still, in which several threads look for what was written since its soft-dirty bits
/// were cleared: what one `SoftDirtyScanner` finds by itself.
public final class SharedSoftDirtyScan: SharedScan {
  private let process: TargetProcess
  private let source: PageScanner.Source
  /// Whoever cuts sees to it that no other does at the same time.
  private nonisolated(unsafe) var pieces: WalkPieces<ListedMemory>
  private nonisolated(unsafe) var rest: WalkPiece?

  /// - Parameter source: where the bits come from.
  public init(of process: TargetProcess, by source: PageScanner.Source) {
    self.process = process
    self.source = source
    unsafe pieces = WalkPieces(of: ListedMemory(of: process), mode: .everything)
  }

  /// Cuts off the next part: `SharedScan.cut`.
  public func cut(atMost byteCount: UInt64) throws(TargetError) -> ScanPart? {
    if unsafe rest == nil { unsafe rest = try pieces.next() }
    guard let piece = unsafe rest else { return nil }
    let (part, left) = piece.cut(atMost: byteCount)
    unsafe rest = left
    return ScanPart(piece: part)
  }

  /// Makes a scanner that finds what was written.
  public func makeScanner() throws(TargetError) -> any PartScanner {
    SoftDirtyPartScanner(of: process, source: source)
  }
}

private final class SoftDirtyPartScanner: PartScanner {
  private let process: TargetProcess
  private var scanner: SoftDirtyScanner
  let tally = PageTally()

  init(of process: TargetProcess, source: PageScanner.Source) {
    self.process = process
    scanner = SoftDirtyScanner(like: process, source: source)
  }

  func scan(_ part: ScanPart, into runs: inout [ScannedRun]) throws(TargetError) {
    runs.removeAll(keepingCapacity: true)
    try scanner.look(at: part.piece, of: process, { () throws(TargetError) in }) { start, end in
      if let last = runs.indices.last, runs[last].run.address + runs[last].run.length == start {
        runs[last].run.length += end - start
      } else {
        runs.append(ScannedRun(run: MemoryRun(address: start, length: end - start), mustCopy: false))
      }
    }
  }
}
