internal import CSluiceLinux
import Glibc

/// Finds out which pages a process has written without ever stopping it: its pages are write-protected
/// asynchronously (UFFD_FEATURE_WP_ASYNC, Linux 6.7), and the first write to each lifts the protection, of which the
/// process notices about a microsecond: Documentation/admin-guide/mm/userfaultfd.rst.
///
/// It lasts as long as this value. When that goes, nothing is left of it in the process.
public final class WriteProtection: Sendable {
  /// The process as it was when its writes began to be watched. It may have executed another program since.
  public let process: TargetProcess
  /// How long one of its threads stood still for the beginning, in nanoseconds.
  public let stoppedNanoseconds: UInt64
  private let userfault: ProcFile

  /// Begins to watch a process, none of whose mappings are watched yet.
  ///
  /// - Throws: `TargetError` with `notTrackable`, whose message says why, or `gone`.
  public init(of process: TargetProcess, by injector: inout Injector) throws(TargetError) {
    try Self.checkNobodyWatches(process)
    let made = try injector.makeUserfault(in: process)
    let enabled = sluice_userfault_enable(made.userfault.descriptor)
    guard enabled == 0 else {
      throw TargetError(
        .notTrackable,
        "the userfaultfd of process \(process.pid) is not ours, or does not protect asynchronously",
        errno: SystemErrno(returned: enabled))
    }
    self.process = process
    stoppedNanoseconds = made.stoppedNanoseconds
    userfault = made.userfault
  }

  deinit {
    unprotect()
  }

  /// Makes sure that no other userfaultfd protects memory of the process asynchronously, such as that of another run:
  /// what one scan is told, the other's is not told any more.
  private static func checkNobodyWatches(_ process: TargetProcess) throws(TargetError) {
    var map = MemoryMap(of: process)
    var end: UInt64 = 0
    // The kernel's own, above all that a process can have, is none that it scans.
    while let vma = try map.next() {
      if vma.name != "[vsyscall]" { end = vma.end }
    }
    var scan = sluice_scan()
    scan.end = end
    scan.max_pages = 1
    scan.category_mask = UInt64(SLUICE_PAGE_WPALLOWED.rawValue)
    scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | SLUICE_PAGE_SWAPPED.rawValue)
    scan.return_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue)
    var region = PageRegion()
    let found = unsafe sluice_pagemap_scan(process.pagemap.descriptor, &scan, &region, 1)
    guard found >= 0 else {
      throw process.failure(of: "looking whether its memory is watched", errno: SystemErrno(returned: found))
    }
    guard found == 0 else {
      throw TargetError(
        .notTrackable,
        "the memory of process \(process.pid) is watched already by another userfaultfd (is another pre-dump of it running?)"
      )
    }
  }

  /// Whether this is the process that is watched, with the memory that it had then.
  ///
  /// - Throws: `TargetError` when the kernel does not tell.
  public func isOf(_ other: TargetProcess) throws(TargetError) -> Bool {
    guard process.pid == other.pid, process.startTime == other.startTime else { return false }
    do throws(TargetError) {
      try process.checkStillTheSame()
      return true
    } catch {
      guard error.code == .gone else { throw error }
      return false
    }
  }

  /// Has all mappings watched, and protects all pages; what was written until then is not told.
  ///
  /// - Throws: `TargetError` when the memory is gone, or our task was cancelled.
  public func protectAll(swapped: SwappedPages) throws(TargetError) {
    try watchNew()
    var areas = MappedAreas(of: process)
    var scanner = try PageScanner(of: process, source: .pagemapScan, swapped: swapped)
    let writes = WriteView(authority: .everything, protects: true, seesSoftDirty: false)
    while let area = try areas.next() {
      if area.pages == .all { continue }
      var position = area.start
      while position < area.end {
        try TargetError.checkCancellation()
        position = try scanner.step(
          from: position, to: area.end, isFileBacked: area.pages == .copiedFromFile, writes: writes)
      }
    }
  }

  /// Has mappings watched that are not yet and have pages. All of these count as written.
  ///
  /// Whether a mapping is watched, nothing tells but a scan: it is asked for pages in mappings that are not. So one that
  /// was moved, replaced or mapped anew is found, whatever its address.
  ///
  /// - Throws: `TargetError` when the memory is gone, or our task was cancelled.
  public func watchNew() throws(TargetError) {
    var stretches = WatchableStretches(of: process)
    while let stretch = try stretches.next() {
      try TargetError.checkCancellation()
      let pages = try unwatchedPages(in: stretch)
      guard pages.runCount > 0 else { continue }
      if !watch(from: stretch.lowerBound, to: stretch.upperBound) {
        // Some of it cannot be: mapping by mapping, each with the holes around it.
        for index in stretches.mappings.indices {
          let start = index == 0 ? stretch.lowerBound : stretches.mappings[index - 1].end
          let isLast = index + 1 == stretches.mappings.count
          _ = watch(from: start, to: isLast ? stretch.upperBound : stretches.mappings[index + 1].start)
        }
      }
      forgetProtection(of: pages, in: stretch)
    }
  }

  /// Has the mappings between two addresses watched.
  ///
  /// - Returns: false when one of them cannot be watched: another userfaultfd watches it, or it is gone.
  private func watch(from start: UInt64, to end: UInt64) -> Bool {
    sluice_userfault_watch(userfault.descriptor, start, end) == 0
  }

  private func unwatchedPages(in stretch: Range<UInt64>) throws(TargetError) -> DirtySet {
    var pages = DirtySet(byteCount: 0, taskCount: 1)
    pages.beginTask()
    let scan = UnwatchedScan(of: process)
    // Of mappings that are watched, the kernel does not look at a single page: as a rule there is nothing.
    guard try scan.firstPage(in: stretch, areOfFiles: true) != nil else { return pages }
    pages = DirtySet(byteCount: DirtySet.smallestBytes, taskCount: 1)
    pages.beginTask()
    try scan.collect(stretch, into: &pages)
    return pages
  }

  /// Before Linux 6.13, pages of a mapping that was moved are still marked as protected, and would pass for not written
  /// since: so the marks of those that were not watched are taken away.
  private func forgetProtection(of pages: DirtySet, in stretch: Range<UInt64>) {
    var cursor = pages.cursor(ofTask: 0)
    var position = stretch.lowerBound
    while position < stretch.upperBound {
      let (isUnwatched, end) = cursor.next(in: position..<stretch.upperBound)
      if isUnwatched { unprotect(from: position, to: end) }
      position = end
    }
  }

  /// Ends the watch of private mappings of files. To be done before CRIU's final dump: where the process gives up
  /// pages of such a mapping that is watched, the kernel leaves marks that look like pages in swap.
  ///
  /// - Throws: `TargetError` when the mappings cannot be listed.
  public func unwatchFiles() throws(TargetError) {
    var map = MemoryMap(of: process)
    while let vma = try map.next() {
      guard vma.isFileBacked, !vma.isShared else { continue }
      // EINVAL where it is not watched.
      _ = sluice_userfault_unwatch(userfault.descriptor, vma.start, vma.end)
    }
  }

  /// Lifts the protection of all pages, in steps, and ends the watch: the kernel would do all of it in one when the
  /// descriptor is closed, and a thread of the process that maps memory would wait for that. And where the process forked
  /// in the moment of the injection, its child has the descriptor, too.
  ///
  /// The end of the watch looks at each entry of the page tables once more, a stretch at a time, with the mmap_lock held
  /// for writing (mm/userfaultfd.c, userfaultfd_clear_vma). In parts of a mapping it would cut that in two for a moment,
  /// in which the process could not move it (mremap).
  private func unprotect() {
    var stretches = WatchableStretches(of: process)
    // Where the list ends early, closing the descriptor does the rest.
    while let stretch = try? stretches.next() {
      for mapping in stretches.mappings { unprotect(from: mapping.start, to: mapping.end) }
      _ = sluice_userfault_unwatch(userfault.descriptor, stretch.lowerBound, stretch.upperBound)
    }
  }

  /// As far as it is watched.
  private func unprotect(from start: UInt64, to end: UInt64) {
    var turns = LockTurns()
    var position = start
    while position < end {
      let began = sluice_monotonic_nanoseconds()
      let next = position + min(Self.unprotectedStepBytes, end - position)
      // Refused where it is not watched, at the first step.
      guard sluice_userfault_unprotect(userfault.descriptor, position, next) == 0 else { return }
      turns.held(since: began)
      position = next
    }
  }

  private static let unprotectedStepBytes: UInt64 = 16 << 20
}
