internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// The first stage: walks the mappings of each task in address order and cuts the pages to be taken into
/// plans, each as large as a buffer.
///
/// It has a thread of its own, because the system calls that look at page tables block.
actor MemoryWalker {
  /// What the walk of one task came across.
  struct Counts: Sendable {
    /// Pages that hold data of the task's own.
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
    /// By task.
    var tasks: [Counts]
    /// What the next round is to copy as well; nil where the walk does not find out what was written.
    var unsettled: DirtySet?
    /// How long the walk waited for a buffer to come back.
    var withoutBuffer = StageWait()
    /// How long it waited for a reader to take a plan.
    var plansFull = StageWait()
    /// When the walk had ended, in nanoseconds of the monotonic clock.
    var endedAt: UInt64 = 0
  }

  private nonisolated let executor: ThreadExecutor
  private let tasks: [DumpedProcess]
  private let base: ParentBase?
  private let watch: WriteProtectMode?
  private let source: PageScanner.Source?
  private let swapped: SwappedPages
  private let ring: BufferRing
  private let plans: PlanChannel
  private var result: Result
  private var sequence: UInt64 = 0
  private var open: PageBuffer?
  #if SLUICE_FAULTS
    private var forgotten: ForgottenPage?
  #endif

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  /// - Parameters:
  ///   - base: what need not be copied; nil where everything is.
  ///   - watch: how it is found out what was written; nil where it is not.
  init(
    tasks: [DumpedProcess], base: ParentBase?, watch: WriteProtectMode?, source: PageScanner.Source?,
    swapped: SwappedPages,
    ring: BufferRing, plans: PlanChannel, executor: ThreadExecutor
  ) {
    self.tasks = tasks
    self.base = base
    self.watch = watch
    self.source = source
    self.swapped = swapped
    self.ring = ring
    self.plans = plans
    self.executor = executor
    result = Result(tasks: Array(repeating: Counts(), count: tasks.count))
    result.unsettled = watch.map { DirtySet(byteCount: $0.unsettledBytes, taskCount: tasks.count) }
  }

  /// Walks the address spaces of all tasks once, then finishes the channel of plans.
  func run() async throws(SluiceError) -> Result {
    for task in tasks {
      result.unsettled?.beginTask()
      try await walk(task)
      // The end of a task is told in its turn, whether or not anything is left to read.
      try await openBuffer()
      try await sendPlan(of: task, endsTask: true)
    }
    plans.finish()
    result.endedAt = sluice_monotonic_nanoseconds()
    return result
  }

  private func walk(_ task: DumpedProcess) async throws(SluiceError) {
    var known = try ParentBase.known(of: task, by: base)
    let hasBase = known.hasBase
    guard
      var walk = try task.attempt({ () throws(TargetError) in try pages(of: task, leavesToParent: hasBase) })
    else { return }
    while true {
      guard !Task.isCancelled else { throw .cancelled }
      guard try task.attempt({ () throws(TargetError) in try walk.next() }) == true else { break }
      for index in walk.runs.indices { try await sort(walk.runs[index], of: task, &known) }
    }
    count(walk, of: task)
  }

  /// Where its writes are found out by write protection, the walk protects the pages for the next round as it goes.
  private func pages(of task: DumpedProcess, leavesToParent: Bool) throws(TargetError) -> PageWalk {
    if let watch, let protection = task.protection {
      return try PageWalk(of: task.process, by: protection, mode: watch.walk, swapped: swapped)
    }
    return try PageWalk(of: task.process, source: source, swapped: swapped, leavesToParent: leavesToParent)
  }

  private func count(_ walk: borrowing PageWalk, of task: DumpedProcess) {
    result.tasks[task.index].mappings = walk.mappings
    result.tasks[task.index].skipped = walk.skipped
    result.tasks[task.index].pages = walk.tally
    result.tasks[task.index].isProbed = walk.haveProbes
  }

  /// Plans to read what the parent's images lack, and lists what they have.
  private func sort(
    _ scanned: ScannedRun, of task: DumpedProcess, _ known: inout ParentPageIndex
  ) async throws(SluiceError) {
    #if SLUICE_FAULTS
      if try await forget(in: scanned, of: task, &known) { return }
    #endif
    result.tasks[task.index].pagesFound += scanned.run.length / UInt64(ring.layout.pageSize)
    let end = scanned.run.address + scanned.run.length
    if scanned.isUnsettled {
      result.unsettled?.add(from: scanned.run.address, to: end)
      try await watch?.waitForDevices()
    }
    var position = scanned.run.address
    while position < end {
      let part = try known.next(in: position..<end, mustCopy: scanned.mustCopy)
      let run = MemoryRun(address: position, length: part.end - position)
      if part.isInParent {
        try await list(run, of: task)
      } else {
        try await plan(run, of: task)
      }
      position = part.end
    }
  }

  #if SLUICE_FAULTS
    /// Has the walk take a page for clean that was written.
    func forget(_ page: ForgottenPage?) {
      forgotten = page
    }

    /// - Returns: false where nothing is to be forgotten; else these pages are sorted, with or without that.
    private func forget(
      in scanned: ScannedRun, of task: DumpedProcess, _ known: inout ParentPageIndex
    ) async throws(SluiceError) -> Bool {
      let run = scanned.run.address..<scanned.run.address + scanned.run.length
      guard let wanted = forgotten, wanted.range.overlaps(run) else { return false }
      // Where the walk finds out what was written, what is dirty otherwise is what the last round has copied already.
      guard scanned.mustCopy || watch == nil else { return false }
      forgotten = nil
      func part(_ range: Range<UInt64>) -> ScannedRun {
        var part = scanned
        part.run = MemoryRun(address: range.lowerBound, length: UInt64(range.count))
        return part
      }
      let searched = run.clamped(to: wanted.range)
      if run.lowerBound < searched.lowerBound {
        try await sort(part(run.lowerBound..<searched.lowerBound), of: task, &known)
      }
      var position = searched.lowerBound
      while position < searched.upperBound {
        let page = position..<position + UInt64(ring.layout.pageSize)
        position = page.upperBound
        if try known.isRewritten(page, mustCopy: scanned.mustCopy) {
          result.tasks[task.index].pagesFound += 1
          try await list(part(page).run, of: task)
          break
        }
        try await sort(part(page), of: task, &known)
        if position == searched.upperBound { forgotten = wanted }
      }
      if position < run.upperBound { try await sort(part(position..<run.upperBound), of: task, &known) }
      return true
    }
  #endif

  private func list(_ run: MemoryRun, of task: DumpedProcess) async throws(SluiceError) {
    result.tasks[task.index].pagesInParent += run.length / UInt64(ring.layout.pageSize)
    while true {
      try await openBuffer()
      if open?.list(run) == true { return }
      try await sendPlan(of: task)
    }
  }

  /// Adds a run to the plan that is being made, and hands plans on as they become full.
  private func plan(_ run: MemoryRun, of task: DumpedProcess) async throws(SluiceError) {
    var rest = run
    while rest.length > 0 {
      try await openBuffer()
      let added = open?.append(rest) ?? 0
      rest.address += added
      rest.length -= added
      if rest.length > 0 { try await sendPlan(of: task) }
    }
  }

  private func openBuffer() async throws(SluiceError) {
    guard open == nil else { return }
    let began = sluice_monotonic_nanoseconds()
    open = await ring.take()
    result.withoutBuffer.add(since: began, bytes: ring.layout.chunkBytes)
    guard open != nil else { throw .cancelled }
  }

  private func sendPlan(of task: DumpedProcess, endsTask: Bool = false) async throws(SluiceError) {
    guard let buffer = open.take() else { return }
    let (began, byteCount) = (sluice_monotonic_nanoseconds(), buffer.byteCount)
    let refused = await plans.send(
      ReadPlan(sequence: sequence, task: task.index, endsTask: endsTask, buffer: buffer))
    // The channel was failed by a later stage, whose error is the one to report.
    guard refused == nil else { throw .cancelled }
    result.plansFull.add(since: began, bytes: byteCount)
    sequence += 1
  }
}
