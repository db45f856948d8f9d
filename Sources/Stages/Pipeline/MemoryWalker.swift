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
  private let watch: WriteProtectMode?
  private let source: PageScanner.Source?
  private let swapped: SwappedPages
  private let probesHideWrites = KernelSupport.probesHideWrites
  private(set) var result: Result

  /// - Parameters:
  ///   - count: of the processes.
  ///   - base: the pages that need not be copied; nil where everything is.
  ///   - watch: how the walk finds out what was written; nil where it does not.
  init(
    count: Int, base: ParentBase?, watch: WriteProtectMode?, source: PageScanner.Source?,
    swapped: SwappedPages
  ) {
    self.base = base
    self.watch = watch
    self.source = source
    self.swapped = swapped
    result = Result(processes: Array(repeating: Counts(), count: count))
    result.recopyNextRound = watch.map { DirtySet(byteCount: $0.unsettledBytes, taskCount: count) }
  }

  /// Walks the address space of a process once.
  mutating func run(of task: DumpedProcess, into plans: inout PlanWriter) async throws(SluiceError) {
    result.recopyNextRound?.beginTask()
    try await plans.begin(task.owner)
    try await walk(task, into: &plans)
    // The end of a process is told whether or not anything was there to read.
    try await plans.end(task.owner)
  }

  private mutating func walk(_ task: DumpedProcess, into plans: inout PlanWriter) async throws(SluiceError) {
    if let watch, let protection = task.protection {
      return try await walk(task, watchedBy: protection, watch, into: &plans)
    }
    var areas = MappedAreas(of: task.process)
    guard
      var scanner = try task.attempt({ () throws(TargetError) in
        try PageScanner(of: task.process, source: source, swapped: swapped)
      })
    else { return }
    var known = try ParentBase.known(of: task, by: base)
    var pinned = PinnedMemory.none
    if known.hasBase {
      // The soft-dirty bits of pinned huge pages do not tell what devices write into them.
      guard let found = try task.attempt({ () throws(TargetError) in try PinnedMemory(of: task.process) })
      else { return }
      pinned = found
    }
    while case .some(.some(let area)) = try task.attempt({ () throws(TargetError) in try areas.next() }) {
      guard area.pages != .all else {
        try await walk(area, of: task, with: &scanner, &known, into: &plans)
        continue
      }
      for piece in pinned.pieces(of: area.start..<area.end) {
        try await walk(
          area.part(piece.range), of: task, with: &scanner, &known,
          isPinned: piece.isPinned || !pinned.isKnown, into: &plans)
      }
    }
    count(areas, scanner, of: task)
  }

  /// The same for a task whose writes the walk finds out, and which it protects for the next round as it goes.
  private mutating func walk(
    _ task: DumpedProcess, watchedBy protection: WriteProtection, _ watch: WriteProtectMode,
    into plans: inout PlanWriter
  ) async throws(SluiceError) {
    var areas = MappedAreas(of: task.process)
    // In a last round, too: what is new may be watched by somebody else, whose watch tells us nothing.
    guard let refused = try task.attempt({ () throws(TargetError) in try protection.registerNew() })
    else { return }
    var parts = RegisteredRanges(of: task.process, refused: refused)
    guard
      var scanner = try task.attempt({ () throws(TargetError) in
        try PageScanner(of: task.process, source: .pagemapScan, swapped: swapped)
      }),
      let pinned = try task.attempt({ () throws(TargetError) in try PinnedMemory(of: task.process) })
    else { return }
    var known = try ParentBase.known(of: task, by: base)
    while case .some(.some(let area)) = try task.attempt({ () throws(TargetError) in try areas.next() }) {
      guard area.pages != .all else {
        try await walk(area, of: task, with: &scanner, &known, writes: watch.viewOfWhole, into: &plans)
        continue
      }
      let isCut: Void? = try task.attempt { () throws(TargetError) in
        try parts.cut(area, starts: areas.starts)
      }
      guard isCut != nil else { return }
      for index in parts.parts.indices {
        let part = parts.parts[index]
        for piece in pinned.pieces(of: part.start..<part.end) {
          try await walk(
            area.part(piece.range), of: task, with: &scanner, &known,
            writes: watch.view(of: part, isPinned: piece.isPinned || !pinned.isKnown), into: &plans)
        }
      }
    }
    count(areas, scanner, of: task)
  }

  private mutating func count(
    _ areas: borrowing MappedAreas, _ scanner: borrowing PageScanner, of task: DumpedProcess
  ) {
    result.processes[task.index].mappings = areas.mappings
    result.processes[task.index].skipped = areas.skipped
    result.processes[task.index].pages = scanner.tally
    result.processes[task.index].isProbed = areas.haveProbes
  }

  private mutating func walk(
    _ area: MappedArea, of task: DumpedProcess, with scanner: inout PageScanner,
    _ known: inout ParentPageIndex,
    writes: DirtyCriterion = .unseen, isPinned: Bool = false, into plans: inout PlanWriter
  ) async throws(SluiceError) {
    // Whatever the soft-dirty bits and the write protection say of it.
    let mayBeReplaced = area.isCode && probesHideWrites
    var position = area.start
    while position < area.end {
      guard !Task.isCancelled else { throw .cancelled }
      let end = try task.attempt { () throws(TargetError) in
        area.pages == .all
          ? scanner.wholeStep(from: position, to: area.end, mustCopy: writes.authority == .everything)
          : try scanner.step(
            from: position, to: area.end, isFileBacked: area.pages == .copiedFromFile, writes: writes)
      }
      guard let end else { return }
      position = end
      // By index: a copy of the array would make the scanner allocate a new one for its next step.
      for index in scanner.runs.indices {
        var scanned = scanner.runs[index]
        if isPinned || mayBeReplaced { scanned.mustCopy = true }
        try await sort(scanned, of: task, &known, into: &plans)
      }
    }
  }

  /// Plans to read what the parent's images lack, and lists what they have.
  private mutating func sort(
    _ scanned: ScannedRun, of task: DumpedProcess, _ known: inout ParentPageIndex,
    into plans: inout PlanWriter
  ) async throws(SluiceError) {
    result.processes[task.index].pagesFound += scanned.run.length / UInt64(plans.pageSize)
    let end = scanned.run.address + scanned.run.length
    if scanned.isUnsettled {
      result.recopyNextRound?.add(from: scanned.run.address, to: end)
      try await watch?.waitForDevices()
    }
    var position = scanned.run.address
    while position < end {
      let part = try known.next(in: position..<end, mustCopy: scanned.mustCopy)
      let run = PageRun(address: position, byteCount: part.end - position)
      if part.isInParent {
        result.processes[task.index].pagesInParent += run.byteCount / UInt64(plans.pageSize)
        try await plans.leaveToParent(run)
      } else {
        try await plans.read(run)
      }
      position = part.end
    }
  }
}
