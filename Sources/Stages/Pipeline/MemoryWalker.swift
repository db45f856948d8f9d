internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// Walks the mappings of each process in address order, and says which of its pages are to be read.
struct MemoryWalker: Sendable {
  /// What the walk of one process came across.
  struct Counts: Sendable {
    /// Pages that hold data of the process's own.
    var pagesFound: UInt64 = 0
    /// Pages among them that were not written since the parent's images, which have them.
    var pagesInParent: UInt64 = 0
    /// Mappings that were walked.
    var mappings = 0
    /// Mappings that were left out, by reason.
    var skipped: [SkipReason: Int] = [:]
    /// Pages of special kinds.
    var pages = PageTally()
    /// Whether there are probes on the program, or were.
    var isProbed = false

    static func += (total: inout Counts, other: Counts) {
      total.pagesFound += other.pagesFound
      total.pagesInParent += other.pagesInParent
      total.mappings += other.mappings
      total.skipped.merge(other.skipped, uniquingKeysWith: +)
      total.pages += other.pages
      total.isProbed = total.isProbed || other.isProbed
    }
  }

  /// What the whole walk came to.
  struct Result: Sendable {
    /// By the places of the processes in the round.
    var processes: [Counts]
    /// Pages that the next round is to copy as well; nil where the walk does not find out what was written.
    var recopyNextRound: DirtySet?
  }

  private let base: ParentBase?
  private var watch: WriteProtectMode?
  private let source: PageScanner.Source?
  private let swapped: SwappedPages
  private let standing: AsyncIOQuiescence?
  private let team: ScanTeam?
  private let selections: [PageOwner: PageSelection]
  private(set) var result: Result

  /// - Parameters:
  ///   - count: of the processes.
  ///   - base: the pages that need not be copied; nil where everything is.
  ///   - watch: how the walk finds out what was written; nil where it does not.
  ///   - standing: what was found of the io_urings of the processes while they stand still; nil where they run.
  ///   - team: who helps with processes that stand still; nil where the walk has one thread.
  ///   - selections: what of processes is copied in place of what page tables tell.
  init(
    count: Int, base: ParentBase?, watch: WriteProtectMode?, source: PageScanner.Source?,
    swapped: SwappedPages, standing: AsyncIOQuiescence? = nil, team: ScanTeam? = nil,
    selections: [PageOwner: PageSelection] = [:]
  ) {
    self.selections = selections
    self.base = base
    self.watch = watch
    self.source = source
    self.swapped = swapped
    self.standing = standing
    self.team = team
    result = Result(processes: Array(repeating: Counts(), count: count))
    result.recopyNextRound = watch.map { DirtySet(byteCount: $0.unsettledBytes, processCount: count) }
  }

  /// Walks the address space of a process once.
  mutating func run(of dumped: DumpedProcess, into plans: inout PlanWriter) async throws(SluiceError) {
    result.recopyNextRound?.beginProcess()
    try await plans.begin(dumped.owner)
    try await walk(dumped, into: &plans)
    // The end of a process is told whether or not anything was there to read.
    try await plans.end(dumped.owner)
  }

  private mutating func walk(_ dumped: DumpedProcess, into plans: inout PlanWriter) async throws(SluiceError)
  {
    var known = try ParentBase.known(of: dumped, by: base)
    let hasBase = known.hasBase
    guard
      var walk = try dumped.attempt({ () throws(TargetError) in
        ProcessScan(try pages(of: dumped, leavesToParent: hasBase), with: team)
      })
    else { return }
    var selection = selections[dumped.owner].map { PageSelection.Cursor($0) }
    while true {
      guard !Task.isCancelled else { throw .cancelled }
      guard try dumped.attempt({ () throws(TargetError) in try walk.next() }) == true else { break }
      // By index: a copy of the array would make the walk allocate a new one for its next step.
      for index in walk.runs.indices {
        let scanned = walk.runs[index]
        if selection != nil {
          try await pass(scanned, of: dumped, &selection, &known, into: &plans)
          continue
        }
        if count(scanned, of: dumped, plans.pageSize) { try await watch?.waitForDevices() }
        var rest = Rest(run: scanned.run, mustCopy: scanned.mustCopy)
        while try !sort(scanned, &rest, of: dumped, &known, into: &plans) { try await plans.makeRoom() }
      }
    }
    try await readWhole(below: .max, of: dumped, &selection, into: &plans)
    count(walk, of: dumped)
  }

  /// Plans to read what was selected of a run, after what is copied as a whole before it.
  private mutating func pass(
    _ scanned: ScannedRun, of dumped: DumpedProcess, _ selection: inout PageSelection.Cursor?,
    _ known: inout ParentPageIndex, into plans: inout PlanWriter
  ) async throws(SluiceError) {
    let end = scanned.run.address + scanned.run.length
    var position = scanned.run.address
    while position < end {
      try await readWhole(below: position + 1, of: dumped, &selection, into: &plans)
      guard let part = selection?.next(in: position..<end) else { return }
      var taken = scanned
      taken.run = MemoryRun(address: position, length: part.end - position)
      position = part.end
      guard part.isTaken else { continue }
      if count(taken, of: dumped, plans.pageSize) { try await watch?.waitForDevices() }
      var rest = Rest(run: taken.run, mustCopy: taken.mustCopy)
      while try !sort(taken, &rest, of: dumped, &known, into: &plans) { try await plans.makeRoom() }
    }
  }

  /// Plans to read the ranges that are copied as a whole and begin below an address.
  private mutating func readWhole(
    below address: UInt64, of dumped: DumpedProcess, _ selection: inout PageSelection.Cursor?,
    into plans: inout PlanWriter
  ) async throws(SluiceError) {
    while let range = selection?.nextWhole(below: address) {
      guard !Task.isCancelled else { throw .cancelled }
      let run = PageRun(address: range.lowerBound, byteCount: range.upperBound - range.lowerBound)
      result.processes[dumped.index].pagesFound += run.byteCount / UInt64(plans.pageSize)
      try await plans.read(run)
    }
  }

  /// Where write protection finds out what the process writes, the walk protects its pages for the next round as it goes.
  private func pages(of dumped: DumpedProcess, leavesToParent: Bool) throws(TargetError) -> PageWalk {
    if let watch, let protection = dumped.protection {
      return try PageWalk(
        of: dumped.process, by: protection, mode: watch.walk, swapped: swapped,
        standing: standing)
    }
    return try PageWalk(
      of: dumped.process, source: source, swapped: swapped, leavesToParent: leavesToParent,
      standing: standing)
  }

  private mutating func count(_ walk: borrowing ProcessScan, of dumped: DumpedProcess) {
    result.processes[dumped.index].mappings = walk.mappings
    result.processes[dumped.index].skipped = walk.skipped
    result.processes[dumped.index].pages = walk.tally
    result.processes[dumped.index].isProbed = walk.haveProbes
  }

  /// What is left of a run that is being planned.
  private struct Rest {
    var run: MemoryRun
    let mustCopy: Bool
    /// The first part of it, once it is known where that belongs.
    var part: (run: MemoryRun, isInParent: Bool)?
  }

  /// Plans to read what the parent's images lack, and lists what they have.
  private mutating func sort(
    _ scanned: ScannedRun, _ rest: inout Rest, of dumped: DumpedProcess, _ known: inout ParentPageIndex,
    into plans: inout PlanWriter
  ) throws(SluiceError) -> Bool {
    let end = scanned.run.address + scanned.run.length
    while true {
      if rest.part == nil {
        guard rest.run.length > 0 else { return true }
        let next = try known.next(in: rest.run.address..<end, mustCopy: rest.mustCopy)
        let run = MemoryRun(address: rest.run.address, length: next.end - rest.run.address)
        rest.run = MemoryRun(address: next.end, length: end - next.end)
        rest.part = (run, next.isInParent)
        if next.isInParent {
          result.processes[dumped.index].pagesInParent += run.length / UInt64(plans.pageSize)
        }
      }
      guard var part = rest.part else { return true }
      guard plans.addNow(&part.run, from: part.isInParent ? .parent : .data) else {
        rest.part = part
        return false
      }
      rest.part = nil
    }
  }

  /// Takes note of pages that were found.
  ///
  /// - Returns: whether devices may still be writing to them.
  private mutating func count(_ scanned: ScannedRun, of dumped: DumpedProcess, _ pageSize: Int) -> Bool {
    result.processes[dumped.index].pagesFound += scanned.run.length / UInt64(pageSize)
    guard scanned.isUnsettled else { return false }
    result.recopyNextRound?.add(from: scanned.run.address, to: scanned.run.address + scanned.run.length)
    return true
  }
}
