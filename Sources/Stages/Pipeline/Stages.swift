internal import SluicePipeline

/// What all stages have counted when they ended well.
struct StageCounts: Sendable {
  var source = SourceStage.Counts()
  /// Of all of them together.
  var readers = ReadStage.Counts()
  /// Pages that a filter has left to the parent.
  var leftToParent: [PageOwner: UInt64] = [:]
  var sink = SinkStage.Result()
}

/// Runs the stages side by side until all have ended.
struct Stages: Sendable {
  let source: SourceStage
  let readers: [ReadStage]
  var filter: FilterStage?
  let sink: SinkStage
  let plans: PlanChannels
  /// From the readers to the next stage.
  let chunks: ChunkChannel
  /// From the filter to the sink, where there is a filter.
  var filtered: ChunkChannel?
  /// What the stages behind the readers wait for; nil where they begin at once.
  var gate: StageGate?
  let progress: ProgressFeed
  /// Is told when all is read, and when something fails.
  let observer: any StageObserver

  private enum End: Sendable {
    case source(Result<SourceStage.Counts, SluiceError>)
    case reader(Result<ReadStage.Counts, SluiceError>)
    case filter(Result<[PageOwner: UInt64], SluiceError>)
    case sink(Result<SinkStage.Result, SluiceError>)
    case progress
    case observer(SluiceError?)
  }

  /// - Throws: the first error of a stage. The others are stopped by it: their channels fail and their tasks
  ///   are cancelled, so that none waits for one that has ended.
  func run() async throws(SluiceError) -> StageCounts {
    var counts = StageCounts()
    var failure: SluiceError?
    var readersLeft = readers.count
    await withTaskGroup(of: End.self) { group in
      // Each task prefers its stage's own thread: a continuation resumes on the preferred executor first (Swift
      // 6.3), and every wait of a stage would go through another thread.
      for reader in readers {
        group.addTask {
          .reader(await Result { () async throws(SluiceError) in try await reader.runUnlessStuck() })
        }
      }
      if let filter {
        group.addTask(executorPreference: filter.taskExecutor) {
          .filter(await Result { () async throws(SluiceError) in try await filter.run() })
        }
      }
      group.addTask(executorPreference: sink.taskExecutor) {
        .sink(await Result { () async throws(SluiceError) in try await sink.run() })
      }
      // After those that wait for it: what begins may take the processor from the one that has begun it.
      group.addTask(executorPreference: source.taskExecutor) {
        .source(await Result { () async throws(SluiceError) in try await source.run() })
      }
      group.addTask {
        await publishProgress()
        return .progress
      }
      group.addTask { .observer(await observer.waitForFailure()) }
      for await end in group {
        do throws(SluiceError) {
          switch end {
          case .source(let result): counts.source = try result.get()
          case .reader(let result):
            counts.readers += try result.get()
            readersLeft -= 1
            guard readersLeft == 0 else { continue }
            try await observer.readingEnds()
            gate?.open()
            chunks.finish()
          case .filter(let result): counts.leftToParent = try result.get()
          case .sink(let result):
            counts.sink = try result.get()
            // All others have ended; only the progress still runs.
            group.cancelAll()
          // It ends with the sink, or when our own task is cancelled: and then the processes run before anything else
          // comes to its end.
          case .progress:
            guard Task.isCancelled else { continue }
            await observer.failed(.cancelled)
            gate?.open()
          case .observer(let error): if let error { throw error }
          }
        } catch {
          await observer.failed(error)
          gate?.open()
          if failure == nil {
            failure = error
            plans.fail(error)
            chunks.fail(error)
            filtered?.fail(error)
            group.cancelAll()
          }
        }
      }
    }
    if let failure { throw failure }
    return counts
  }
}

/// Who wants to know what becomes of the stages.
protocol StageObserver: Sendable {
  /// Everything is read, and may not be written yet.
  ///
  /// - Throws: `SluiceError`, which ends the run.
  func readingEnds() async throws(SluiceError)

  /// Something has failed, or the run was cancelled; it may be told more than once. The stages may be in the kernel for
  /// long after that.
  func failed(_ error: SluiceError) async

  /// Waits until the run has failed for another reason than its stages, or the task is cancelled.
  ///
  /// - Returns: the reason; nil where there is none.
  func waitForFailure() async -> SluiceError?
}

/// Of what is no process, nothing has to be let run again.
struct NoObserver: StageObserver {
  func readingEnds() async {}
  func failed(_ error: SluiceError) async {}
  func waitForFailure() async -> SluiceError? { nil }
}

extension Stages {
  /// How often the progress is passed on: often enough to look alive, too seldom to cost anything.
  private static let progressInterval = Duration.milliseconds(100)

  /// Passes the progress on until the task is cancelled.
  private func publishProgress() async {
    while !Task.isCancelled {
      progress.publish()
      // An early end of the sleep is the cancellation that the loop looks for.
      try? await Task.sleep(for: Self.progressInterval)
    }
    progress.publish()
  }
}

/// Who reads processes that stand still until everything is read.
struct StandingReaders: Sendable {
  /// The threads that read, in place of those of the runtime.
  let readers: [ReaderThread]
  /// How many processes there are, each of which has a beginning and an end to be told.
  let processCount: Int
}

extension Stages {
  /// For so many plans, chunks or buffers a thread is woken.
  private static let mostInBatch = 8

  /// The same where there are so many buffers.
  private static func batch(of buffers: Int) -> Int { max(1, min(mostInBatch, buffers / 4)) }

  /// Joins a source, a filter and a sink by channels.
  ///
  /// A thread is woken for several plans, chunks or buffers at once, where there are buffers enough: on a virtual machine
  /// that costs some 50 µs, and as much as a tenth of the reading where it comes with each chunk. But a plan that waits
  /// holds a buffer that is no longer in the cache when it is read: so not more wait than it takes. What was read may wait
  /// a little longer, for the disk is less even than memory.
  ///
  /// - Parameters:
  ///   - expected: how much is written of the first process, as far as can be told, in bytes.
  ///   - standing: who reads where the processes stand still until all is read: what is read waits in all buffers that
  ///     there are. Nil for a run that stops nothing.
  ///   - rate: how fast chunks are written at most; nil for no limit.
  ///   - isTimed: whether it is counted how long each chunk takes to be read and written.
  /// - Throws: `SluiceError` with `system` where there is no thread.
  init(
    from source: any PageSource, through filter: (any PageFilter)? = nil, to sink: any PageSink,
    by lease: RuntimeLease, expecting expected: UInt64 = 0, standing: StandingReaders? = nil,
    readTimeLimit: Duration = .seconds(30), hashSeed: UInt64? = nil, rate: RateLimit? = nil,
    isTimed: Bool = false, progress: ProgressFeed,
    observer: any StageObserver
  ) throws(SluiceError) {
    let (ring, threads) = (lease.ring, lease.threads)
    let buffers = ring.limit
    let batch = Self.batch(of: buffers)
    ring.setBatch(sink.limits.keepsNothing ? batch : 1)
    let readers = standing?.readers ?? threads.readers
    let plans = PlanChannels(
      (0..<ring.partCount).map { part in
        let count = ring.partCount == 1 ? readers.count : readers.count { $0.place == part }
        let buffers = ring.partCount == 1 ? buffers : ring.limit(of: part)
        let batch = Self.batch(of: buffers)
        // Where every moment counts, all plans are made as fast as can be.
        return PlanChannel(capacity: standing == nil ? count + batch : buffers + batch, senderBatch: batch)
      })
    // Nothing goes by nodes where the buffers do not.
    let placing = ring.partCount == lease.placing?.placement.places.count ? lease.placing : nil
    let waiting = standing.map { buffers + 2 * $0.processCount } ?? min(2 * Self.mostInBatch, buffers)
    func channel() -> ChunkChannel {
      ChunkChannel(capacity: waiting, receiverBatch: batch, senderBatch: batch)
    }
    let gate = standing == nil ? nil : StageGate()
    self.gate = gate
    let chunks = channel()
    let filtered = filter == nil ? nil : channel()
    self.plans = plans
    self.chunks = chunks
    self.filtered = filtered
    self.source = SourceStage(
      source: source, ring: ring, plans: plans, chunks: chunks, placing: placing, gate: gate,
      executor: threads.walker)
    self.readers = readers.enumerated().map { number, thread in
      ReadStage(
        reader: source.makeReader(), pageSize: ring.layout.pageSize,
        plans: plans[ring.partCount == 1 ? 0 : thread.place], chunks: chunks, readTimeLimit: readTimeLimit,
        hashSeed: hashSeed, findsZeros: standing == nil,
        processor: standing == nil || placing != nil ? nil : number,
        node: ReaderNode(placing, place: thread.place), isTimed: isTimed, executor: thread.executor)
    }
    if let filter, let filtered {
      self.filter = FilterStage(
        filter: filter, source: source, input: chunks, output: filtered, capacity: ring.layout.count,
        gate: gate, executor: try lease.resources.threadForFilter())
    }
    let executor: any SinkExecutor =
      if let own = sink.executor { own } else { try lease.resources.threadForSink() }
    self.sink = SinkStage(
      sink: sink, source: source, chunks: filtered ?? chunks, progress: progress, layout: ring.layout,
      expected: expected, rate: rate, gate: filter == nil ? gate : nil, isTimed: isTimed,
      executor: executor)
    self.progress = progress
    self.observer = observer
  }
}
