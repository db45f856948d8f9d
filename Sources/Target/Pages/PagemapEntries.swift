internal import CSluiceLinux
internal import SluiceSystem

/// Page states by the entries of /proc/PID/pagemap, for kernels before 6.7.
///
/// Every page has an entry, populated or not, and the kernel makes them one by one: an empty terabyte takes some
/// 0.4 s (measured), and nothing else on such kernels tells which part of a mapping is populated but smaps.
/// The kernel lets go of the process' mmap_lock after every 2 MiB.
struct PagemapEntries: PageStates {
  /// How many entries one step reads. More are no faster (measured: 512 take 0.7 s for a terabyte).
  static let capacity = 4096

  private let pageSize: UInt64
  private let zeroPageFrame: UInt64
  private var entries = EntryTable(capacity: capacity)

  /// - Throws: `TargetError` when it cannot be found out which page is the zero page.
  init(pageSize: UInt64) throws(TargetError) {
    self.pageSize = pageSize
    let frame = sluice_zero_page_frame()
    guard frame >= 0 else {
      throw TargetError(
        .systemCall, "looking for the zero page's frame", errno: SystemErrno(returned: frame))
    }
    zeroPageFrame = UInt64(frame)
  }

  mutating func step(
    through range: Range<UInt64>, of process: TargetProcess, isFileBacked: Bool, writes: DirtyCriterion,
    into pages: inout FoundPages
  ) throws(TargetError) -> UInt64 {
    precondition(
      writes.authority == .nobody && !writes.protects, "only PAGEMAP_SCAN protects pages and tells of writes")
    let count = try entries.read(range, of: process, doing: "reading the page states")
    let mustCopy = writes.verdict(on: 0, isFileBacked: isFileBacked).mustCopy
    let populated = PagemapEntry.present | PagemapEntry.swapped
    var index = entries.first(with: populated, from: 0, of: count)
    while index < count {
      let address = range.lowerBound + UInt64(index) * pageSize
      if let kind = kind(of: entries[index], isFileBacked) {
        pages.add(kind, from: address, to: address + pageSize, mustCopy: mustCopy)
      }
      index = entries.first(with: populated, from: index + 1, of: count)
    }
    return range.lowerBound + UInt64(count) * pageSize
  }

  /// Nil for what is not the process' own.
  private func kind(of entry: UInt64, _ isFileBacked: Bool) -> FoundPages.Kind? {
    if PagemapEntry.isGuardRegion(entry) { return .guardRegion }
    if isFileBacked && entry & PagemapEntry.file != 0 { return nil }
    if entry & PagemapEntry.present == 0 { return .swapped }
    // Without CAP_SYS_ADMIN the kernel gives 0 for every frame, and zero pages are taken as well: more
    // pages, never fewer. The huge zero page has another frame and is taken, as it must be.
    if zeroPageFrame != 0 && entry & PagemapEntry.frame == zeroPageFrame { return .zero }
    // In anonymous memory only the huge zero page is called a file's, by those kernels that tell it.
    return entry & PagemapEntry.file != 0 ? .hugeZero : .present
  }
}
