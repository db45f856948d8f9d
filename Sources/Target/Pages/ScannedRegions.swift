internal import CSluiceLinux
internal import SluiceSystem

/// The regions that a PAGEMAP_SCAN finds, in memory that is there before.
struct ScannedRegions: Sendable {
  private var regions: [PageRegion]
  private var count = 0
  private let pageSize = UInt64(sluice_page_size())
  /// The pages of all regions of the last scan.
  private(set) var pageCount: UInt64 = 0

  /// - Parameter capacity: how many regions one scan can find.
  init(capacity: Int) {
    regions = [PageRegion](repeating: PageRegion(), count: capacity)
  }

  /// The regions that the last scan found, in address order.
  var found: ArraySlice<PageRegion> { regions[..<count] }

  /// Scans the first part of a range, up to its end or until the regions are full or have as many pages as may be found.
  ///
  /// - Parameters:
  ///   - scan: the range, and what is looked for.
  ///   - process: whose memory is scanned.
  ///   - doing: what the error says that this is.
  /// - Returns: where that part ends.
  /// - Throws: `TargetError` when the memory is gone or the kernel refuses.
  mutating func scan(
    _ scan: sluice_scan, of process: TargetProcess, doing: String
  ) throws(TargetError) -> UInt64 {
    var scan = scan
    let (descriptor, capacity) = (process.pagemap.descriptor, regions.count)
    let result = unsafe regions.withUnsafeMutableBufferPointer {
      unsafe sluice_pagemap_scan(descriptor, &scan, $0.baseAddress, capacity)
    }
    guard result >= 0 else { throw process.failure(of: doing, errno: SystemErrno(returned: result)) }
    count = Int(result)
    pageCount = found.reduce(0) { $0 + ($1.end - $1.start) / pageSize }
    // walk_end is not to be trusted: after more than 512 regions it is stale. A scan that neither filled its regions
    // nor reached max_pages has finished; else the walk ended after the last region.
    let isFull = count == capacity || scan.max_pages > 0 && pageCount >= scan.max_pages
    guard isFull, let last = found.last else { return scan.end }
    return last.end
  }

  /// The first region that a scan finds, or the first part of that; nil where it finds none.
  ///
  /// - Throws: `TargetError` when the memory is gone or the kernel refuses.
  static func first(
    _ scan: sluice_scan, of process: TargetProcess, doing: String
  ) throws(TargetError) -> PageRegion? {
    var scan = scan
    scan.max_pages = 1
    var region = PageRegion()
    let found = unsafe sluice_pagemap_scan(process.pagemap.descriptor, &scan, &region, 1)
    guard found >= 0 else { throw process.failure(of: doing, errno: SystemErrno(returned: found)) }
    return found > 0 ? region : nil
  }

  /// Whether the kernel takes such a scan; its range is empty, so that the arguments are checked and nothing is walked.
  static func isOffered(_ scan: sluice_scan, by pagemap: borrowing ProcFile) -> Bool {
    var scan = scan
    var region = PageRegion()
    return unsafe sluice_pagemap_scan(pagemap.descriptor, &scan, &region, 1) >= 0
  }
}
