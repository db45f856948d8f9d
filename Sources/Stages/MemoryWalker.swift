internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// The first stage: walks the mappings of a process in address order and cuts the pages to be taken into
/// plans, each as large as a buffer.
///
/// It has a thread of its own, because the system calls that look at page tables block.
actor MemoryWalker {
  /// What the walk came across.
  struct Counts: Sendable {
    /// Pages that hold data of the process' own.
    var pagesFound: UInt64 = 0
    /// Mappings that were walked.
    var mappings = 0
    /// Mappings that were left out, by reason.
    var skipped: [SkipReason: Int] = [:]
    /// Pages of special kinds.
    var pages = PageTally()
    /// How long the walk waited for a buffer to come back.
    var withoutBuffer = Stall()
    /// How long it waited for a reader to take a plan.
    var plansFull = Stall()
    /// When the walk had ended, in nanoseconds of the monotonic clock.
    var endedAt: UInt64 = 0
  }

  private nonisolated let executor: ThreadExecutor
  private let process: TargetProcess
  private let source: PageScanner.Source?
  private let swapped: SwappedPages
  private let ring: BufferRing
  private let plans: PlanChannel
  private var counts = Counts()
  private var sequence: UInt64 = 0
  private var open: PageBuffer?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  init(
    process: TargetProcess, source: PageScanner.Source?, swapped: SwappedPages, ring: BufferRing,
    plans: PlanChannel, executor: ThreadExecutor
  ) {
    self.process = process
    self.source = source
    self.swapped = swapped
    self.ring = ring
    self.plans = plans
    self.executor = executor
  }

  /// Walks the whole address space once, then finishes the channel of plans.
  func run() async throws(PreDumpError) -> Counts {
    var areas = try onTarget { () throws(TargetError) in try MappedAreas(of: process) }
    var scanner = try onTarget { () throws(TargetError) in
      try PageScanner(of: process, source: source, swapped: swapped)
    }
    while let area = try onTarget({ () throws(TargetError) in try areas.next() }) {
      try await walk(area, with: &scanner)
    }
    counts.mappings = areas.mappings
    counts.skipped = areas.skipped
    counts.pages = scanner.tally
    try await sendPlan()
    plans.finish()
    counts.endedAt = sluice_monotonic_nanoseconds()
    return counts
  }

  private func walk(_ area: MappedArea, with scanner: inout PageScanner) async throws(PreDumpError) {
    var position = area.start
    while position < area.end {
      guard !Task.isCancelled else { throw .cancelled }
      position = try onTarget { () throws(TargetError) in
        area.pages == .all
          ? scanner.wholeStep(from: position, to: area.end)
          : try scanner.step(from: position, to: area.end, isFileBacked: area.pages == .copiedFromFile)
      }
      // By index: a copy of the array would make the scanner allocate a new one for its next step.
      for index in scanner.runs.indices {
        try await plan(scanner.runs[index])
      }
    }
  }

  /// Adds a run to the plan that is being made, and hands plans on as they become full.
  private func plan(_ run: MemoryRun) async throws(PreDumpError) {
    counts.pagesFound += run.length / UInt64(ring.layout.pageSize)
    var rest = run
    while rest.length > 0 {
      if open == nil { open = await takeBuffer() }
      guard let added = open?.append(rest) else { throw .cancelled }
      rest.address += added
      rest.length -= added
      if rest.length > 0 { try await sendPlan() }
    }
  }

  private func takeBuffer() async -> PageBuffer? {
    let began = sluice_monotonic_nanoseconds()
    defer { counts.withoutBuffer.add(since: began, bytes: ring.layout.chunkBytes) }
    return await ring.take()
  }

  private func sendPlan() async throws(PreDumpError) {
    guard let buffer = open.take() else { return }
    let (began, byteCount) = (sluice_monotonic_nanoseconds(), buffer.byteCount)
    let refused = await plans.send(ReadPlan(sequence: sequence, buffer: buffer))
    // The channel was failed by a later stage, whose error is the one to report.
    guard refused == nil else { throw .cancelled }
    counts.plansFull.add(since: began, bytes: byteCount)
    sequence += 1
  }
}
