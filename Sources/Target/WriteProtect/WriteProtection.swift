internal import CSluiceLinux
import Glibc
internal import Synchronization

/// Finds out which pages a process has written without ever stopping it: its pages are write-protected
/// asynchronously (UFFD_FEATURE_WP_ASYNC, Linux 6.7), and the first write to each lifts the protection, of which the
/// process notices about a microsecond: Documentation/admin-guide/mm/userfaultfd.rst.
///
/// A memory has one state of protection, and who asks for it anew takes the news from everybody else. So there is one
/// watch of a memory at most: the kernel gives a mapping to one userfaultfd and refuses it to others (EBUSY), and who
/// begins takes all mappings, from low addresses to high ones, before he protects any.
///
/// It lasts as long as this value. When that goes, nothing is left of it in the process.
public final class WriteProtection: Sendable {
  /// The process as it was when its writes began to be watched. It may have executed another program since.
  public let process: TargetProcess
  /// How long one of its threads stood still for the beginning, in nanoseconds.
  public let stoppedNanoseconds: UInt64
  private let userfault: Userfault
  private let room: MappingRoom
  /// How many mappings the process had in the beginning.
  public let firstMappingCount: Int
  private let lastCount: Atomic<Int>

  /// Begins to watch a process, none of whose mappings are watched yet.
  ///
  /// - Throws: `TargetError` with `trackedByAnother` or `notTrackable`, whose messages say why, or `gone`.
  public init(of process: TargetProcess, by injector: inout Injector) throws(TargetError) {
    // Before anything is done to the process.
    let room = try Self.check(process)
    let made = try Self.makeUserfault(in: process, by: &injector)
    let stoppedNanoseconds = made.stoppedNanoseconds
    let userfault = try Userfault(of: process, adopting: made.userfault)
    // If it ends here, closing the userfaultfd is all that there is to be done: nothing is protected yet.
    let found = try Self.registerNew(of: process, by: userfault, isFirst: true)
    self.process = process
    self.room = room
    self.stoppedNanoseconds = stoppedNanoseconds
    self.userfault = userfault
    firstMappingCount = found.mappingCount
    lastCount = Atomic(found.mappingCount)
  }

  deinit {
    // Where a list ends early, or what is left cannot be told, closing the descriptor does the rest.
    try? unprotect()
  }

  /// Where somebody else begins at the same moment, one may find its threads traced by the other, and learns only when the
  /// other has begun that it was that.
  private static func makeUserfault(
    in process: TargetProcess, by injector: inout Injector
  ) throws(TargetError) -> Injector.Made {
    do throws(TargetError) {
      return try injector.makeUserfault(in: process)
    } catch {
      guard error.code == .notTrackable else { throw error }
      for _ in 0..<othersLooks {
        usleep(othersPauseMicroseconds)
        try check(process)
      }
      throw error
    }
  }

  private static let othersLooks = 10
  private static let othersPauseMicroseconds: UInt32 = 20_000

  /// Makes sure that the process may be watched as far as that can be told from outside: that no userfaultfd protects
  /// memory of it asynchronously, such as that of another run, and that it has room for mappings.
  ///
  /// - Returns: that room.
  @discardableResult
  private static func check(_ process: TargetProcess) throws(TargetError) -> MappingRoom {
    var map = MemoryMap(of: process)
    var (end, count): (UInt64, Int) = (0, 0)
    // The kernel's own, above all that a process can have, is none that it scans.
    while let vma = try map.next() {
      if vma.name != "[vsyscall]" { (end, count) = (vma.end, count + 1) }
    }
    guard try !UnregisteredScan(of: process).findsWatchedPage(in: 0..<end) else {
      throw trackedByAnother(process)
    }
    let room = try MappingRoom()
    guard room.allowsBeginning(with: count) else { throw lacksRoom(process, count, room) }
    return room
  }

  private static func trackedByAnother(_ process: TargetProcess) -> TargetError {
    TargetError(
      .trackedByAnother,
      process.answersFaults
        ? "the memory of process \(process.pid) is watched already, perhaps by itself: it has a userfaultfd"
        : "the memory of process \(process.pid) is watched already by another userfaultfd (is another run of sluice busy with it?)"
    )
  }

  private static func lacksRoom(_ process: TargetProcess, _ count: Int, _ room: MappingRoom) -> TargetError {
    TargetError(
      .notTrackable,
      "process \(process.pid) has \(count) mappings of the \(room.limit) that vm.max_map_count allows, and what it maps beside watched memory takes more of them: raise that"
    )
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

  /// How many mappings the process had when they were last looked at.
  public var mappingCount: Int { lastCount.load(ordering: .relaxed) }

  /// Whether the process had room for further mappings then; else the watch should end.
  public var hasRoom: Bool { room.allowsGoingOn(with: mappingCount) }

  /// How many mappings the process may have, as it was when the watch began.
  public var mappingLimit: Int { room.limit }

  /// Has all mappings watched, and protects all pages; what was written until then is not told.
  ///
  /// - Throws: `TargetError` when the memory is gone, or our task was cancelled.
  public func protectAll(swapped: SwappedPages) throws(TargetError) {
    var walk = try PageWalk(of: process, by: self, mode: .protectAll, swapped: swapped)
    while try walk.next() { try TargetError.checkCancellation() }
  }

  /// Has mappings watched that are not yet. All their pages count as written.
  ///
  /// Whether a mapping is watched, nothing tells but a scan: it is asked for pages in mappings that are not. So one that
  /// was moved, replaced or mapped anew is found, whatever its address. By whom it is watched, not even that tells, but
  /// the attempt to watch it.
  ///
  /// - Returns: what cannot be watched.
  /// - Throws: `TargetError` when the memory is gone, or our task was cancelled.
  func registerNew() throws(TargetError) -> RefusedMemory {
    let found = try Self.registerNew(of: process, by: userfault, isFirst: false)
    lastCount.store(found.mappingCount, ordering: .relaxed)
    return found.refused
  }

  /// - Parameter isFirst: whether nothing was watched before, so that what somebody else protects is a reason not to begin.
  private static func registerNew(
    of process: TargetProcess, by userfault: borrowing Userfault, isFirst: Bool
  ) throws(TargetError) -> (refused: RefusedMemory, mappingCount: Int) {
    var stretches = RegistrableRanges(of: process)
    var refused = RefusedMemory()
    while let stretch = try stretches.next() {
      try TargetError.checkCancellation()
      let pages = try unwatchedPages(in: stretch, of: process)
      let outcome = try userfault.watch(stretch, of: stretches)
      for refusal in outcome.refused {
        if isFirst, refusal.errno.code == EBUSY,
          try UnregisteredScan(of: process).findsWatchedPage(in: refusal.range)
        {
          throw trackedByAnother(process)
        }
        refused.add(refusal.range)
      }
      forgetProtection(of: pages, in: outcome.watched, by: userfault)
    }
    return (refused, stretches.mappingCount)
  }

  private static func unwatchedPages(
    in stretch: Range<UInt64>, of process: TargetProcess
  ) throws(TargetError) -> DirtySet {
    var pages = DirtySet(byteCount: 0, taskCount: 1)
    pages.beginTask()
    let scan = UnregisteredScan(of: process)
    // Of mappings that are watched, the kernel does not look at a single page: as a rule there is nothing.
    guard try scan.firstPage(in: stretch, areOfFiles: true) != nil else { return pages }
    pages = DirtySet(byteCount: DirtySet.smallestBytes, taskCount: 1)
    pages.beginTask()
    try scan.collect(stretch, into: &pages)
    return pages
  }

  /// Before Linux 6.13, pages of a mapping that was moved are still marked as protected, and would pass for not written
  /// since: so the marks of those that were not watched are taken away.
  private static func forgetProtection(
    of pages: DirtySet, in watched: [Range<UInt64>], by userfault: borrowing Userfault
  ) {
    var cursor = pages.cursor(ofTask: 0)
    for range in watched {
      var position = range.lowerBound
      while position < range.upperBound {
        let (isUnwatched, end) = cursor.next(in: position..<range.upperBound)
        if isUnwatched { userfault.unprotect(position..<end) }
        position = end
      }
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
      try userfault.unwatchIfOurs(vma.start..<vma.end)
    }
  }

  /// Lifts the protection of all pages, in steps, and ends the watch: the kernel would do all of it in one when the
  /// descriptor is closed, and a thread of the process that maps memory would wait for that. And where the process forked
  /// in the moment of the injection, its child has the descriptor, too.
  ///
  /// The end of the watch looks at each entry of the page tables once more, a stretch at a time, with the mmap_lock held
  /// for writing (mm/userfaultfd.c, userfaultfd_clear_vma). In parts of a mapping it would cut that in two for a moment,
  /// in which the process could not move it (mremap). So the mappings are listed anew when the protection is lifted.
  private func unprotect() throws(TargetError) {
    var pieces = WalkPieces(
      of: ListedMemory(of: process, refused: try registerNew()), mode: .protectAll)
    while let piece = try pieces.next() { userfault.unprotect(piece.range) }
    var stretches = RegistrableRanges(of: process)
    while let stretch = try stretches.next() {
      for range in try userfault.watch(stretch, of: stretches).watched { try userfault.unwatch(range) }
    }
  }
}
