public import CSluiceLinux
import Glibc

/// Pages that a scan has found.
public struct ScannedRun: Sendable {
  /// Where they are.
  public var run: MemoryRun
  /// Whether they are copied even where nothing wrote them: the huge zero page replaces other content
  /// without a trace of it in the dirty bits.
  public var mustCopy: Bool
}

/// Finds the pages of a process that hold data of its own: present or swapped, not a clean page of a
/// file, not the zero page.
///
/// It goes in steps. The kernel holds the process' mmap_lock while it looks at page tables, and a thread
/// of the process that maps memory then waits: so a step covers no more than some 16 MiB of populated
/// memory (measured: 28–57 ms of waiting for one scan over 4 GiB, nothing measurable in steps). Where
/// nothing is populated the steps grow, for there a terabyte costs no more than its page tables.
public struct PageScanner: ~Copyable {
  /// Where page states come from.
  public enum Source: String, Sendable {
    /// The PAGEMAP_SCAN ioctl of Linux 6.7.
    case pagemapScan = "PAGEMAP_SCAN"
    /// The 64-bit entries of /proc/PID/pagemap.
    case pagemap
  }

  /// How many regions one step can find.
  private static let regionCapacity = 1024
  /// How many entries of /proc/PID/pagemap one step reads.
  private static let entryCapacity = 4096
  /// The bytes that a scanner holds.
  public static let tableBytes =
    regionCapacity * (MemoryLayout<PageRegion>.stride + MemoryLayout<ScannedRun>.stride)
    + entryCapacity * MemoryLayout<UInt64>.stride

  private static let populatedStepBytes: UInt64 = 16 << 20
  private static let widestStepBytes: UInt64 = 64 << 30
  /// A step over nothing that took less may be twice as wide the next time.
  private static let quickNanoseconds: UInt64 = 125_000
  private static let slowNanoseconds: UInt64 = 500_000

  /// Where the page states come from.
  public let source: Source
  private let process: TargetProcess
  private let pageSize: UInt64
  private var stepBytes = populatedStepBytes
  private var regions: [PageRegion]
  private var entries: [UInt64]
  private let knowsGuards: Bool
  private let zeroPageFrame: UInt64

  /// The runs that the last step found, in address order; those that touch differ in what is to be done.
  public private(set) var runs: [ScannedRun] = []

  /// - Parameters:
  ///   - process: whose pages.
  ///   - source: nil takes the best that this kernel has.
  /// - Throws: `TargetError` when the kernel answers neither way.
  public init(of process: TargetProcess, source: Source? = nil) throws(TargetError) {
    self.process = process
    pageSize = UInt64(sluice_page_size())
    runs.reserveCapacity(Self.regionCapacity)
    let offered = Self.offeredScan(process)
    self.source = source ?? (offered == nil ? .pagemap : .pagemapScan)
    knowsGuards = offered?.guards ?? false
    switch self.source {
    case .pagemapScan:
      regions = [PageRegion](repeating: PageRegion(), count: Self.regionCapacity)
      entries = []
      zeroPageFrame = 0
    case .pagemap:
      regions = []
      entries = [UInt64](repeating: 0, count: Self.entryCapacity)
      let frame = sluice_zero_page_frame()
      guard frame >= 0 else {
        throw TargetError(
          .systemCall, "looking for the zero page's frame", errno: SystemErrno(returned: frame))
      }
      zeroPageFrame = UInt64(frame)
    }
  }

  /// Whether the kernel has PAGEMAP_SCAN, and then whether it tells guard regions (Linux 6.15).
  private static func offeredScan(_ process: TargetProcess) -> (guards: Bool, Void)? {
    for guards in [true, false] {
      var scan = sluice_scan()
      scan.return_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | (guards ? SLUICE_PAGE_GUARD.rawValue : 0))
      scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue)
      var region = PageRegion()
      // An empty range: the arguments are checked, nothing is walked.
      if unsafe sluice_pagemap_scan(process.pagemap.descriptor, &scan, &region, 1) >= 0 {
        return (guards, ())
      }
    }
    return nil
  }

  /// Scans from `start` towards `end`, a step. Both are page boundaries of one mapping.
  ///
  /// - Parameter isFileBacked: whether pages may be a file's. Elsewhere the page table's word on that is
  ///   not asked for: it calls the huge zero page a file's too, which must be taken.
  /// - Returns: where the step ended, which is `end` when nothing is left; `runs` has what was found.
  /// - Throws: `TargetError` when the process' memory is gone or the kernel refuses.
  public mutating func step(
    from start: UInt64, to end: UInt64, isFileBacked: Bool
  ) throws(TargetError) -> UInt64 {
    runs.removeAll(keepingCapacity: true)
    switch source {
    case .pagemapScan: return try scanStep(from: start, to: end, isFileBacked: isFileBacked)
    case .pagemap: return try pagemapStep(from: start, to: end, isFileBacked: isFileBacked)
    }
  }

  /// The same for a mapping of which every page is taken, whatever the page table says.
  public mutating func wholeStep(from start: UInt64, to end: UInt64) -> UInt64 {
    runs.removeAll(keepingCapacity: true)
    append(from: start, to: end)
    return end
  }

  private mutating func append(from start: UInt64, to end: UInt64, mustCopy: Bool = false) {
    if let last = runs.indices.last, runs[last].run.address + runs[last].run.length == start,
      runs[last].mustCopy == mustCopy
    {
      runs[last].run.length += end - start
    } else {
      runs.append(ScannedRun(run: MemoryRun(address: start, length: end - start), mustCopy: mustCopy))
    }
  }

  // MARK: PAGEMAP_SCAN

  private mutating func scanStep(
    from start: UInt64, to end: UInt64, isFileBacked: Bool
  ) throws(TargetError) -> UInt64 {
    let stepEnd = end - start > stepBytes ? start + stepBytes : end
    var scan = sluice_scan()
    scan.start = start
    scan.end = stepEnd
    scan.max_pages = Self.populatedStepBytes / pageSize
    if isFileBacked {
      scan.category_mask = UInt64(SLUICE_PAGE_FILE.rawValue)
      scan.category_inverted = UInt64(SLUICE_PAGE_FILE.rawValue)
    }
    scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | SLUICE_PAGE_SWAPPED.rawValue)
    // The zero page is sorted out here and not by the kernel: the *huge* zero page must be taken, since
    // CRIU before 4.0 demands it of a parent.
    scan.return_mask =
      UInt64(SLUICE_PAGE_PFNZERO.rawValue | SLUICE_PAGE_HUGE.rawValue)
      | (knowsGuards ? UInt64(SLUICE_PAGE_GUARD.rawValue) : 0)
    let began = sluice_monotonic_nanoseconds()
    let (descriptor, capacity) = (process.pagemap.descriptor, regions.count)
    let found = unsafe regions.withUnsafeMutableBufferPointer {
      unsafe sluice_pagemap_scan(descriptor, &scan, $0.baseAddress, capacity)
    }
    guard found >= 0 else { throw try failure(of: "scanning the pages", result: Int(found)) }
    let took = sluice_monotonic_nanoseconds() - began

    var pages: UInt64 = 0
    for region in regions[..<Int(found)] {
      pages += (region.end - region.start) / pageSize
      if isTaken(region.categories) {
        let isZero = region.categories & UInt64(SLUICE_PAGE_PFNZERO.rawValue) != 0
        append(from: region.start, to: region.end, mustCopy: isZero)
      }
    }
    adaptStep(found: pages, took: took)
    // walk_end is not to be trusted: after more than 512 regions it is stale. A scan that neither filled its
    // vector nor reached max_pages has finished; else the walk ended after the last region.
    let isFinished = Int(found) < regions.count && pages < scan.max_pages
    return isFinished || found == 0 ? stepEnd : regions[Int(found) - 1].end
  }

  private func isTaken(_ categories: UInt64) -> Bool {
    if categories & UInt64(SLUICE_PAGE_GUARD.rawValue) != 0 { return false }
    let zero = UInt64(SLUICE_PAGE_PFNZERO.rawValue)
    return categories & zero == 0 || categories & UInt64(SLUICE_PAGE_HUGE.rawValue) != 0
  }

  private mutating func adaptStep(found pages: UInt64, took: UInt64) {
    if pages > 0 || took > Self.slowNanoseconds {
      stepBytes = max(Self.populatedStepBytes, stepBytes / 2)
    } else if took < Self.quickNanoseconds {
      stepBytes = min(Self.widestStepBytes, stepBytes * 2)
    }
  }

  // MARK: /proc/PID/pagemap

  private mutating func pagemapStep(
    from start: UInt64, to end: UInt64, isFileBacked: Bool
  ) throws(TargetError) -> UInt64 {
    let wanted = min(Int((end - start) / pageSize), entries.count)
    let descriptor = process.pagemap.descriptor
    let offset = start / pageSize * UInt64(MemoryLayout<UInt64>.size)
    let count = unsafe entries.withUnsafeMutableBytes {
      unsafe sluice_pread(descriptor, $0.baseAddress, wanted * MemoryLayout<UInt64>.size, offset)
    }
    guard count > 0 else { throw try failure(of: "reading the page states", result: count) }
    let pages = count / MemoryLayout<UInt64>.size
    for (index, entry) in entries[..<pages].enumerated() where isTaken(entry, isFileBacked) {
      let address = start + UInt64(index) * pageSize
      // In anonymous memory only the huge zero page is called a file's, by those kernels that tell it.
      append(
        from: address, to: address + pageSize,
        mustCopy: !isFileBacked && entry & PagemapEntry.file != 0)
    }
    return start + UInt64(pages) * pageSize
  }

  private func isTaken(_ entry: UInt64, _ isFileBacked: Bool) -> Bool {
    guard entry & (PagemapEntry.present | PagemapEntry.swapped) != 0 else { return false }
    if entry & PagemapEntry.guardRegion != 0 { return false }
    if isFileBacked && entry & PagemapEntry.file != 0 { return false }
    // Without CAP_SYS_ADMIN the kernel gives 0 for every frame, and zero pages are taken as well: more
    // pages, never fewer. The huge zero page has another frame and is taken, as it must be.
    return zeroPageFrame == 0 || entry & PagemapEntry.swapped != 0
      || entry & PagemapEntry.frame != zeroPageFrame
  }

  private func failure(of doing: String, result: Int) throws(TargetError) -> TargetError {
    try process.checkStillTheSame()
    guard result < 0 else { return TargetProcess.ended(process.pid) }
    return TargetError(
      .systemCall, "\(doing) of process \(process.pid)", errno: SystemErrno(returned: result))
  }
}
