internal import CSluiceLinux

/// Looks for pages in mappings that nobody has registered: the kernel tells of each whether its mapping can be protected
/// asynchronously (PAGE_IS_WPALLOWED), as it is where it is registered.
struct UnregisteredScan {
  private static let regionCapacity = 256
  /// So that no thread of the process waits long for its mmap_lock.
  private static let stepPages = PagemapScan.populatedStepBytes / UInt64(sluice_page_size())

  private static let doing = "looking for new mappings"

  private let process: TargetProcess

  init(of process: TargetProcess) {
    self.process = process
  }

  /// The first such page between two addresses; nil where there is none.
  ///
  /// - Parameter areOfFiles: whether pages of files, which the process has not written, are passed over.
  /// - Throws: `TargetError` when the memory is gone.
  func firstPage(in range: Range<UInt64>, areOfFiles: Bool) throws(TargetError) -> UInt64? {
    try ScannedRegions.first(Self.scan(range, areOfFiles), of: process, doing: Self.doing)?.start
  }

  /// Adds all such pages to a set, but for those of files.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func collect(_ range: Range<UInt64>, into pages: inout DirtySet) throws(TargetError) {
    var regions = ScannedRegions(capacity: Self.regionCapacity)
    var scan = Self.scan(range, true)
    scan.max_pages = Self.stepPages
    var turns = MmapLockPacer()
    while scan.start < scan.end {
      let began = sluice_monotonic_nanoseconds()
      let scanned = try regions.scan(scan, of: process, doing: Self.doing)
      turns.held(since: began)
      for region in regions.found { pages.add(from: region.start, to: region.end) }
      scan.start = scanned
    }
  }

  /// Whether there is a page in a mapping that somebody has registered for asynchronous protection, with any userfaultfd.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func findsRegisteredPage(in range: Range<UInt64>) throws(TargetError) -> Bool {
    var scan = Self.allPages(in: range)
    scan.category_mask = UInt64(SLUICE_PAGE_WPALLOWED.rawValue)
    return try ScannedRegions.first(scan, of: process, doing: "looking whether the memory is watched") != nil
  }

  private static func scan(_ range: Range<UInt64>, _ areOfFiles: Bool) -> sluice_scan {
    var scan = allPages(in: range)
    var unwanted = UInt64(SLUICE_PAGE_WPALLOWED.rawValue)
    if areOfFiles { unwanted |= UInt64(SLUICE_PAGE_FILE.rawValue) }
    scan.category_mask = unwanted
    scan.category_inverted = unwanted
    return scan
  }

  private static func allPages(in range: Range<UInt64>) -> sluice_scan {
    var scan = sluice_scan()
    scan.start = range.lowerBound
    scan.end = range.upperBound
    scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | SLUICE_PAGE_SWAPPED.rawValue)
    scan.return_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue)
    return scan
  }
}
