internal import CSluiceLinux
import Glibc
internal import SluiceSystem

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
  private var regions: [PageRegion] = []
  private var entries: [UInt64] = []

  /// - Parameters:
  ///   - process: one of those that will be looked at.
  ///   - source: nil takes the best that this kernel has.
  public init(like process: TargetProcess, source: PageScanner.Source? = nil) {
    // PAGEMAP_SCAN tells the soft-dirty bit since Linux 6.8.
    self.source = source ?? (Self.isOffered(process) ? .pagemapScan : .pagemap)
    switch self.source {
    case .pagemapScan: regions = [PageRegion](repeating: PageRegion(), count: Self.regionCapacity)
    case .pagemap: entries = [UInt64](repeating: 0, count: Self.entryCapacity)
    }
  }

  private static func isOffered(_ process: TargetProcess) -> Bool {
    var scan = Self.scan(.own)
    var region = PageRegion()
    // An empty range: the arguments are checked, nothing is walked.
    return unsafe sluice_pagemap_scan(process.pagemap.descriptor, &scan, &region, 1) >= 0
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

  /// Adds the pages of a process that were written to a set, as those of its current task.
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
    var areas = MappedAreas(of: process)
    while let area = try areas.next() {
      switch source {
      case .pagemapScan: try scan(area, of: process, into: &set, checking)
      case .pagemap: try readEntries(of: area, of: process, into: &set, checking)
      }
    }
  }

  private mutating func scan(
    _ area: MappedArea, of process: TargetProcess, into set: inout DirtySet,
    _ checking: () throws(TargetError) -> Void
  ) throws(TargetError) {
    var scan = Self.scan(area.pages)
    scan.start = area.start
    scan.end = area.end
    while scan.start < scan.end {
      try checking()
      let (descriptor, capacity) = (process.pagemap.descriptor, regions.count)
      let found = unsafe regions.withUnsafeMutableBufferPointer {
        unsafe sluice_pagemap_scan(descriptor, &scan, $0.baseAddress, capacity)
      }
      guard found >= 0 else {
        throw process.failure(
          of: "looking for the written pages", errno: SystemErrno(returned: found))
      }
      for index in 0..<Int(found) { set.add(from: regions[index].start, to: regions[index].end) }
      // walk_end is stale after more than 512 regions: a vector that is not full is what tells the end.
      guard Int(found) == capacity else { return }
      scan.start = regions[capacity - 1].end
    }
  }

  private mutating func readEntries(
    of area: MappedArea, of process: TargetProcess, into set: inout DirtySet,
    _ checking: () throws(TargetError) -> Void
  ) throws(TargetError) {
    var start = area.start
    while start < area.end {
      try checking()
      let wanted = min(Int((area.end - start) / pageSize), entries.count)
      let descriptor = process.pagemap.descriptor
      let offset = start / pageSize * UInt64(MemoryLayout<UInt64>.size)
      let count = unsafe entries.withUnsafeMutableBytes {
        unsafe sluice_pread(descriptor, $0.baseAddress, wanted * MemoryLayout<UInt64>.size, offset)
      }
      // 0 bytes: the memory itself is gone.
      guard count > 0 else {
        let errno = count < 0 ? SystemErrno(returned: count) : SystemErrno(code: ESRCH)
        throw process.failure(of: "looking for the written pages", errno: errno)
      }
      let pages = count / MemoryLayout<UInt64>.size
      var index = firstSoftDirty(from: 0, of: pages)
      while index < pages {
        if PagemapEntry.isDirty(entries[index], area.pages) {
          let address = start + UInt64(index) * pageSize
          set.add(from: address, to: address + pageSize)
        }
        index = firstSoftDirty(from: index + 1, of: pages)
      }
      start += UInt64(pages) * pageSize
    }
  }

  /// The number of the first entry with that bit, from one on; that of the entries where there is none.
  private func firstSoftDirty(from index: Int, of count: Int) -> Int {
    unsafe entries.withUnsafeBufferPointer {
      unsafe index + sluice_first_with(PagemapEntry.softDirty, $0.baseAddress! + index, count - index)
    }
  }
}
