internal import CSluiceLinux

/// Page states by the PAGEMAP_SCAN ioctl of Linux 6.7: Documentation/admin-guide/mm/pagemap.rst.
///
/// Where nothing is populated the steps grow, for there a terabyte costs no more than its page tables.
struct PagemapScan: PageStates {
  /// How many regions one step can find.
  static let regionCapacity = 1024
  static let populatedStepBytes: UInt64 = 16 << 20
  /// Behind nothing there may be pages that the scan looks at and does not find, such as those that were not written:
  /// there a step of this width takes some 1.5 ms.
  private static let widestStepBytes: UInt64 = 128 << 20
  /// Of x86-64, and of arm64 with pages of 4 KiB. Where it is another, pages may be split.
  /// A step over nothing that took less may be twice as wide the next time.
  private static let quickNanoseconds: UInt64 = 125_000
  private static let slowNanoseconds: UInt64 = 500_000

  private let pageSize: UInt64
  private let knowsGuards: Bool
  private var turns: MmapLockPacer
  private var stepBytes = populatedStepBytes
  private var regions = ScannedRegions(capacity: regionCapacity)

  init(pageSize: UInt64, knowsGuards: Bool, standsStill: Bool = false) {
    turns = MmapLockPacer(standsStill: standsStill)
    self.pageSize = pageSize
    self.knowsGuards = knowsGuards
  }

  /// Whether the kernel has the ioctl, and then whether it tells guard regions (Linux 6.15).
  static func offered(by pagemap: borrowing ProcFile) -> (guards: Bool, Void)? {
    for guards in [true, false] {
      var scan = sluice_scan()
      scan.return_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | (guards ? SLUICE_PAGE_GUARD.rawValue : 0))
      scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue)
      if ScannedRegions.isOffered(scan, by: pagemap) { return (guards, ()) }
    }
    return nil
  }

  mutating func step(
    through range: Range<UInt64>, of process: TargetProcess, isFileBacked: Bool, writes: DirtyCriterion,
    into pages: inout FoundPages
  ) throws(TargetError) -> UInt64 {
    let end = range.stepEnd(stepBytes)
    var scan = arguments(for: range.lowerBound..<end, isFileBacked: isFileBacked)
    writes.extend(&scan)
    let began = sluice_monotonic_nanoseconds()
    let scanned = try regions.scan(scan, of: process, doing: "scanning the pages")
    let took = sluice_monotonic_nanoseconds() - began
    turns.held(since: began)
    // Where the memory is gone the kernel finds nothing, and that is all it says.
    if regions.found.isEmpty { try process.checkMemoryIsThere() }

    for region in regions.found {
      let verdict = writes.verdict(on: region.categories, isFileBacked: isFileBacked)
      pages.add(
        kind(of: region.categories), from: region.start, to: region.end, mustCopy: verdict.mustCopy,
        isUnsettled: verdict.isUnsettled)
    }
    adaptStep(found: regions.pageCount, took: took)
    return scanned
  }

  private func arguments(for range: Range<UInt64>, isFileBacked: Bool) -> sluice_scan {
    var scan = sluice_scan()
    scan.start = range.lowerBound
    scan.end = range.upperBound
    scan.max_pages = Self.populatedStepBytes / pageSize
    if isFileBacked {
      scan.category_mask = UInt64(SLUICE_PAGE_FILE.rawValue)
      scan.category_inverted = UInt64(SLUICE_PAGE_FILE.rawValue)
    }
    scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | SLUICE_PAGE_SWAPPED.rawValue)
    // The zero page is sorted out here and not by the kernel: the *huge* zero page must be taken, since
    // CRIU before 4.0 demands it of a parent.
    let asked = SLUICE_PAGE_PFNZERO.rawValue | SLUICE_PAGE_HUGE.rawValue | SLUICE_PAGE_SWAPPED.rawValue
    scan.return_mask = UInt64(asked | (knowsGuards ? SLUICE_PAGE_GUARD.rawValue : 0))
    return scan
  }

  private func kind(of categories: UInt64) -> FoundPages.Kind {
    func has(_ category: sluice_page_category) -> Bool { categories & UInt64(category.rawValue) != 0 }
    // The kernel calls a guard region swapped, too.
    if has(SLUICE_PAGE_GUARD) { return .guardRegion }
    if has(SLUICE_PAGE_SWAPPED) { return .swapped }
    guard has(SLUICE_PAGE_PFNZERO) else { return .present }
    return has(SLUICE_PAGE_HUGE) ? .hugeZero : .zero
  }

  private mutating func adaptStep(found pages: UInt64, took: UInt64) {
    if pages > 0 || took > Self.slowNanoseconds {
      stepBytes = Self.populatedStepBytes
    } else if took < Self.quickNanoseconds {
      stepBytes = min(Self.widestStepBytes, stepBytes * 2)
    }
  }
}
