internal import CSluiceLinux
internal import SluiceSystem

/// Looks for pages in mappings that nobody has registered: the kernel tells of each whether its mapping can be protected
/// asynchronously (PAGE_IS_WPALLOWED), as it is where it is registered.
struct UnregisteredScan {
  private static let regionCapacity = 256
  /// So that no thread of the process waits long for its mmap_lock.
  private static let stepPages = PagemapScan.populatedStepBytes / UInt64(sluice_page_size())

  private let process: TargetProcess

  init(of process: TargetProcess) {
    self.process = process
  }

  /// The first such page between two addresses; nil where there is none.
  ///
  /// - Parameter areOfFiles: whether pages of files, which the process has not written, are passed over.
  /// - Throws: `TargetError` when the memory is gone.
  func firstPage(in range: Range<UInt64>, areOfFiles: Bool) throws(TargetError) -> UInt64? {
    var scan = Self.scan(range, areOfFiles)
    scan.max_pages = 1
    var region = PageRegion()
    let found = unsafe sluice_pagemap_scan(process.pagemap.descriptor, &scan, &region, 1)
    guard found >= 0 else { throw failure(found) }
    return found > 0 ? region.start : nil
  }

  /// Adds all such pages to a set, but for those of files.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func collect(_ range: Range<UInt64>, into pages: inout DirtySet) throws(TargetError) {
    var regions = [PageRegion](repeating: PageRegion(), count: Self.regionCapacity)
    var scan = Self.scan(range, true)
    scan.max_pages = Self.stepPages
    var turns = MmapLockPacer()
    while scan.start < scan.end {
      let began = sluice_monotonic_nanoseconds()
      let descriptor = process.pagemap.descriptor
      let found = unsafe regions.withUnsafeMutableBufferPointer {
        unsafe sluice_pagemap_scan(descriptor, &scan, $0.baseAddress, $0.count)
      }
      guard found >= 0 else { throw failure(found) }
      turns.held(since: began)
      var bytes: UInt64 = 0
      for region in regions[..<Int(found)] {
        pages.add(from: region.start, to: region.end)
        bytes += region.end - region.start
      }
      // walk_end is not to be trusted, as in PagemapScan.
      let isFull = Int(found) == Self.regionCapacity || bytes >= PagemapScan.populatedStepBytes
      guard isFull, found > 0 else { return }
      scan.start = regions[Int(found) - 1].end
    }
  }

  /// Whether there is a page in a mapping that somebody has registered for asynchronous protection, with any userfaultfd.
  ///
  /// - Throws: `TargetError` when the memory is gone.
  func findsRegisteredPage(in range: Range<UInt64>) throws(TargetError) -> Bool {
    var scan = Self.allPages(in: range)
    scan.category_mask = UInt64(SLUICE_PAGE_WPALLOWED.rawValue)
    scan.max_pages = 1
    var region = PageRegion()
    let found = unsafe sluice_pagemap_scan(process.pagemap.descriptor, &scan, &region, 1)
    guard found >= 0 else {
      throw process.failure(of: "looking whether the memory is watched", errno: SystemErrno(returned: found))
    }
    return found > 0
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

  private func failure(_ result: Int32) -> TargetError {
    process.failure(of: "looking for new mappings", errno: SystemErrno(returned: result))
  }
}
