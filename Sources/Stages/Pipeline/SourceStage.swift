internal import CSluiceLinux
internal import SluicePipeline

/// The first stage: has the source say what there is.
///
/// It has a thread of its own, because the system calls that look at page tables block.
actor SourceStage {
  /// What the walk came to.
  struct Counts: Sendable {
    /// How long the walk waited for a buffer to come back.
    var withoutBuffer = StageWait()
    /// How long it waited for a reader to take a plan.
    var plansFull = StageWait()
    /// When the walk had ended, in nanoseconds of the monotonic clock.
    var endedAt: UInt64 = 0
  }

  private nonisolated let executor: ThreadExecutor
  private let source: any PageSource
  private let plans: PlanChannels
  private var writer: PlanWriter?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }
  nonisolated var taskExecutor: any TaskExecutor { executor }

  init(
    source: any PageSource, ring: BufferRing, plans: PlanChannels, chunks: ChunkChannel,
    placing: NodePlacing?, gate: StageGate? = nil, executor: ThreadExecutor
  ) {
    self.source = source
    self.plans = plans
    self.executor = executor
    writer = PlanWriter(
      ring: ring, plans: plans, chunks: chunks, placing: placing, locators: source as? any LocatedSource,
      gate: gate, isFilling: source is any FillingSource)
  }

  /// Runs the walk once, then finishes the channel of plans.
  func run() async throws(SluiceError) -> Counts {
    guard var writer = writer.take() else { preconditionFailure("a source is walked once") }
    try await embedders { try await source.walk(&writer) }
    try writer.checkEnded()
    plans.finish()
    return Counts(
      withoutBuffer: writer.withoutBuffer, plansFull: writer.plansFull,
      endedAt: sluice_monotonic_nanoseconds())
  }
}

/// Runs code of a source, filter or sink, which may throw any error.
///
/// - Throws: `SluiceError`.
func embedders<Result: ~Copyable>(
  _ body: () async throws -> Result
) async throws(SluiceError) -> Result {
  do { return try await body() } catch { throw SluiceError(of: error) }
}
