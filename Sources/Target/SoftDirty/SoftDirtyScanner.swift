internal import CSluiceLinux

/// Finds the pages of a process that were written since its soft-dirty bits were cleared. Made before the
/// process is stopped, so that nothing is allocated while it is stopped.
public struct SoftDirtyScanner: ~Copyable {
  private static let regionCapacity = 2048
  private static let entryCapacity = 8 << 10
  /// The bytes that a scanner holds, at most.
  public static let tableBytes = max(
    regionCapacity * MemoryLayout<PageRegion>.stride, entryCapacity * MemoryLayout<UInt64>.stride)

  private let source: PageScanner.Source
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
      switch source {
      case .pagemapScan: try scan(piece, of: process, into: &set, checking)
      case .pagemap: try readEntries(of: piece, of: process, into: &set, checking)
      }
    }
  }

  private static let doing = "looking for the written pages"

  private mutating func scan(
    _ piece: WalkPiece, of process: TargetProcess, into set: inout DirtySet,
    _ checking: () throws(TargetError) -> Void
  ) throws(TargetError) {
    var scan = Self.scan(piece.pages)
    scan.start = piece.range.lowerBound
    scan.end = piece.range.upperBound
    while scan.start < scan.end {
      try checking()
      scan.start = try regions.scan(scan, of: process, doing: Self.doing)
      for region in regions.found { set.add(from: region.start, to: region.end) }
    }
  }

  private mutating func readEntries(
    of piece: WalkPiece, of process: TargetProcess, into set: inout DirtySet,
    _ checking: () throws(TargetError) -> Void
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
          set.add(from: address, to: address + pageSize)
        }
        index = entries.first(with: PagemapEntry.softDirty, from: index + 1, of: count)
      }
      start += UInt64(count) * pageSize
    }
  }
}
