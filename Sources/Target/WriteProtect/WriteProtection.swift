internal import CSluiceLinux
import Glibc
internal import Synchronization

/// Finds out which pages a process has written without ever stopping it: its pages are write-protected
/// asynchronously (UFFD_FEATURE_WP_ASYNC, Linux 6.7), and the first write to each lifts the protection, of which the
/// process notices about a microsecond: Documentation/admin-guide/mm/userfaultfd.rst.
///
/// A page has one state of protection, and whoever protects it anew takes the news of its writes from everybody else. So
/// a memory is protected by one userfaultfd at most: the kernel gives a mapping to one and refuses it to others (EBUSY),
/// and whoever begins registers all mappings, from low addresses to high ones, before protecting any.
///
/// The protection lasts as long as this object. When the object goes, nothing of the protection is left in the process.
public final class WriteProtection: Sendable {
  /// The process as it was when its protection began. It may have executed another program since.
  public let process: TargetProcess
  /// How long one of its threads stood still for the beginning, in nanoseconds.
  public let stoppedNanoseconds: UInt64
  private let userfault: Userfault
  private let room: MappingRoom
  /// How many mappings the process had in the beginning.
  public let firstMappingCount: Int
  private let lastCount: Atomic<Int>

  /// Begins to protect a process, none of whose mappings are registered yet.
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

  /// Makes sure that the process may be protected, as far as that can be told from outside: that no userfaultfd protects
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
    guard try !UnregisteredScan(of: process).findsRegisteredPage(in: 0..<end) else {
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
        ? "the memory of process \(process.pid) is watched already, perhaps by the process itself: it has a userfaultfd"
        : "the memory of process \(process.pid) is watched already by another userfaultfd (is another run of sluice copying it?)"
    )
  }

  private static func lacksRoom(_ process: TargetProcess, _ count: Int, _ room: MappingRoom) -> TargetError {
    TargetError(
      .notTrackable,
      "process \(process.pid) has \(count) mappings; vm.max_map_count allows \(room.limit), and a watched process needs more of them: raise it"
    )
  }

  /// Whether this is the process that is protected, with the memory that it had when that began.
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

  /// Whether the process had room for further mappings then; else the protection should end.
  public var hasRoom: Bool { room.allowsGoingOn(with: mappingCount) }

  /// How many mappings the process may have, as it was when the protection began.
  public var mappingLimit: Int { room.limit }

  /// Registers all mappings and protects all pages; nothing tells of what was written until then.
  ///
  /// - Throws: `TargetError` when the memory is gone, or our task was cancelled.
  public func protectAll(swapped: SwappedPages) throws(TargetError) {
    var walk = try PageWalk(of: process, by: self, mode: .protectAll, swapped: swapped)
    while try walk.next() { try TargetError.checkCancellation() }
  }

  /// Registers the mappings that are not yet. All their pages count as written.
  ///
  /// Whether a mapping is registered, nothing tells but a scan, which is asked for pages in mappings that are not. So a
  /// mapping that was moved, replaced or mapped anew is found at any address. Who has registered it, not even the scan
  /// tells, but the attempt to register it.
  ///
  /// - Returns: the memory that cannot be registered.
  /// - Throws: `TargetError` when the memory is gone, or our task was cancelled.
  func registerNew() throws(TargetError) -> RefusedMemory {
    let found = try Self.registerNew(of: process, by: userfault, isFirst: false)
    lastCount.store(found.mappingCount, ordering: .relaxed)
    return found.refused
  }

  /// - Parameter isFirst: whether nothing was registered before, so that another's protection is a reason not to begin.
  private static func registerNew(
    of process: TargetProcess, by userfault: borrowing Userfault, isFirst: Bool
  ) throws(TargetError) -> (refused: RefusedMemory, mappingCount: Int) {
    var ranges = RegistrableRanges(of: process)
    var refused = RefusedMemory()
    while let range = try ranges.next() {
      try TargetError.checkCancellation()
      let pages = try unregisteredPages(in: range, of: process)
      let outcome = try userfault.registerMost(of: range, in: ranges)
      for refusal in outcome.refused {
        if isFirst, refusal.errno.code == EBUSY,
          try UnregisteredScan(of: process).findsRegisteredPage(in: refusal.range)
        {
          throw trackedByAnother(process)
        }
        refused.add(refusal.range)
      }
      forgetProtection(of: pages, in: outcome.registered, by: userfault)
    }
    return (refused, ranges.mappingCount)
  }

  private static func unregisteredPages(
    in range: Range<UInt64>, of process: TargetProcess
  ) throws(TargetError) -> DirtySet {
    var pages = DirtySet(byteCount: 0, processCount: 1)
    pages.beginProcess()
    let scan = UnregisteredScan(of: process)
    // Of mappings that are registered, the kernel does not look at a single page: as a rule there are no others.
    guard try scan.firstPage(in: range, areOfFiles: true) != nil else { return pages }
    pages = DirtySet(byteCount: DirtySet.smallestBytes, processCount: 1)
    pages.beginProcess()
    try scan.collect(range, into: &pages)
    return pages
  }

  /// Before Linux 6.13, pages of a mapping that was moved are still marked as protected, and would pass for not written
  /// since: so the marks of mappings that were not registered are taken away.
  private static func forgetProtection(
    of pages: DirtySet, in registered: [Range<UInt64>], by userfault: borrowing Userfault
  ) {
    var cursor = pages.cursor(ofProcess: 0)
    for range in registered {
      var position = range.lowerBound
      while position < range.upperBound {
        let (isUnregistered, end) = cursor.next(in: position..<range.upperBound)
        if isUnregistered { userfault.unprotect(position..<end) }
        position = end
      }
    }
  }

  /// Ends the registration of private mappings of files. This is done before CRIU's final dump: where the process gives up
  /// pages of such a mapping while it is registered, the kernel leaves marks that look like pages in swap.
  ///
  /// - Throws: `TargetError` when the mappings cannot be listed.
  public func unregisterFiles() throws(TargetError) {
    var map = MemoryMap(of: process)
    while let vma = try map.next() {
      guard vma.isFileBacked, !vma.isShared else { continue }
      try userfault.unregisterIfOurs(vma.start..<vma.end)
    }
  }

  /// Lifts the protection of all pages, in steps, and ends the registration: the kernel would do all of it in one go when the
  /// descriptor is closed, and a thread of the process that maps memory would wait for that. And where the process forked
  /// in the moment of the injection, its child has the descriptor, too.
  ///
  /// The end of the registration looks at each entry of the page tables once more, a range at a time, with the mmap_lock held
  /// for writing (mm/userfaultfd.c, userfaultfd_clear_vma). In parts of a mapping it would cut that in two for a moment,
  /// in which the process could not move it (mremap). So the mappings are listed anew when the protection is lifted.
  private func unprotect() throws(TargetError) {
    var pieces = WalkPieces(
      of: ListedMemory(of: process, refused: try registerNew()), mode: .protectAll)
    while let piece = try pieces.next() { userfault.unprotect(piece.range) }
    var ranges = RegistrableRanges(of: process)
    while let range = try ranges.next() {
      for found in try userfault.registerMost(of: range, in: ranges).registered {
        try userfault.unregister(found)
      }
    }
  }
}
