internal import SluicePipeline

/// Runs several pre-dumps of the same processes, each on top of the one before, until little is left to copy.
///
/// ```swift
/// try await withPreDumpRounds(configuration, policy: RoundPolicy(rounds: 8)) { rounds in
///   for try await report in rounds { print(report.pagesWritten) }
/// }
/// ```
///
/// They go into the directories 1, 2, 3 and so on below the images directory. Where the kernel has asynchronous write
/// protection, no round but a last one that was asked for stops the processes. What tracks the writes ends with `body`.
///
/// - Parameters:
///   - configuration: of each round. Its parent, if it has one, is that of the first.
///   - policy: when to end.
///   - lastRound: one more round (counted in `policy.rounds`), in which the processes are stopped, and whose images with
///     their parents have the memory as it is then. Nil for none.
///   - precedesDump: whether CRIU's final dump is made in `body`, after the rounds (`PreDumpRounds.prepareForDump`).
///   - runtime: what the rounds work with, and share a memory budget in; nil for a runtime of their own, with the
///     configuration's budget.
///   - body: is given the rounds. They are begun one by one, as it iterates over them. It runs where the caller does.
/// - Returns: what `body` returns.
/// - Throws: `SluiceError` with `cannotCreate`, `invalidArgument`, or what is wrong with the process; what `body` throws.
public func withPreDumpRounds<Success>(
  _ configuration: PreDump.Configuration, policy: RoundPolicy, lastRound: PreDumpRounds.LastRound? = nil,
  precedesDump: Bool = false, in runtime: SluiceRuntime? = nil,
  _ body: (PreDumpRounds) async throws -> Success
) async throws -> Success {
  try await withRounds(
    configuration, policy: policy, lastRound: lastRound, precedesDump: precedesDump, into: nil, in: runtime,
    body)
}

/// The same into sinks: each round copies into one of its own what was written since the round before, and tells it by
/// `PageChunk.parentRuns` which pages that round, or one before it, has.
///
/// A round that builds on none has no such runs: the first, and one that follows when the process has executed another
/// program. Where the kernel has no way to tell what was written, every round copies everything.
///
/// - Parameters:
///   - configuration: of each round; directories and page servers in it mean nothing here. The tracker is not `content`.
///   - sink: gives the sink of a round, by the round's number from 1. It is asked again for a round that is made again, when
///     the sink that it gave before was told to abort.
///   - policy: when to end.
///   - lastRound: one more round (counted in `policy.rounds`), in which the processes are stopped: what the sinks have
///     together then is the memory as it is at that moment. Nil for none.
///   - precedesDump: whether CRIU's final dump is made in `body`, after the rounds (`PreDumpRounds.prepareForDump`).
///   - runtime: what the rounds work with, and share a memory budget in; nil for a runtime of their own.
///   - body: is given the rounds. They are begun one by one, as it iterates over them.
/// - Returns: what `body` returns.
/// - Throws: `SluiceError`; what `body` throws.
public func withPreDumpRounds<Success>(
  _ configuration: PreDump.Configuration, into sink: @escaping @Sendable (Int) throws -> any PageSink,
  policy: RoundPolicy, lastRound: PreDumpRounds.LastRound? = nil, precedesDump: Bool = false,
  in runtime: SluiceRuntime? = nil, _ body: (PreDumpRounds) async throws -> Success
) async throws -> Success {
  try await withRounds(
    configuration, policy: policy, lastRound: lastRound, precedesDump: precedesDump, into: sink, in: runtime,
    body)
}

private func withRounds<Success>(
  _ configuration: PreDump.Configuration, policy: RoundPolicy, lastRound: PreDumpRounds.LastRound?,
  precedesDump: Bool, into sink: (@Sendable (Int) throws -> any PageSink)?, in runtime: SluiceRuntime?,
  _ body: (PreDumpRounds) async throws -> Success
) async throws -> Success {
  let own = runtime == nil ? SluiceRuntime(memoryBudget: configuration.memoryBudget) : nil
  let used = runtime ?? own
  let run = Observation(.run, of: configuration.pid, by: configuration.observer)
  run?.begin()
  let rounds: PreDumpRounds
  do {
    // It opens the process and makes a directory, which may take its time.
    let sequence = try await Coordinator.run { () async throws(SluiceError) in
      try RoundSequence(
        configuration, policy: policy, lastRound: lastRound, precedesDump: precedesDump, into: sink,
        in: used, within: run)
    }
    rounds = PreDumpRounds(sequence)
  } catch {
    run?.end(error)
    await own?.shutdown()
    throw error
  }
  let result: Result<Success, any Error>
  do { result = .success(try await body(rounds)) } catch { result = .failure(error) }
  await rounds.end()
  switch result {
  case .success: run?.end()
  case .failure(let error): run?.end(SluiceError(of: error))
  }
  await own?.shutdown()
  return try result.get()
}

/// Several pre-dumps of the same processes: `withPreDumpRounds` gives them. Iterating runs them; each element is the
/// report of a round that is complete.
///
/// A round in the middle of which the process executes another program is made again, of the new program. Where the dirty
/// tracker was cleared by then, what it knew is lost: the chain begins anew with that round, which copies everything.
public final class PreDumpRounds: AsyncSequence, Sendable {
  /// What becomes of the processes in a last round that takes all that is left.
  public enum LastRound: Hashable, Sendable {
    /// They stand still until it is copied, and go on then.
    case resumes
    /// They stand still from then on: by SIGSTOP, or in the cgroup that was to be frozen.
    case leavesStopped
  }

  private struct State: Sendable {
    var sequence: RoundSequence
    var isRunning = false
    var hasEnded = false
  }

  private let state: Locked<State>

  /// Progress. Yields elements while rounds are running, and ends with them.
  public let progress: ProgressFeed

  init(_ sequence: RoundSequence) {
    progress = sequence.progress
    state = Locked(State(sequence: sequence))
  }

  /// The number of the round that was begun last, from 1; 0 before the first.
  public var number: Int { state.withLock { $0.sequence.number } }

  /// Why the rounds ended; nil while there may be more. A requested last round may still follow.
  public var endReason: RoundPolicy.End? { state.withLock { $0.sequence.end } }

  /// Whether no further round follows, not even a last one that was asked for.
  public var isOver: Bool { state.withLock { $0.sequence.isOver } }

  /// Runs the rounds. They are run once: whoever iterates again goes on where the rounds are.
  public func makeAsyncIterator() -> Iterator { Iterator(rounds: self) }

  /// Runs a round at each call.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let rounds: PreDumpRounds

    /// Runs the next round, after the pause before it.
    ///
    /// - Returns: nil when the policy says that it is enough.
    /// - Throws: `SluiceError`. The rounds before it stay; one that was cancelled can be followed by another try.
    public mutating func next() async throws(SluiceError) -> PreDumpReport? { try await rounds.runNext() }

    /// The same for a caller that has an isolation of its own.
    ///
    /// - Throws: `SluiceError`.
    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(SluiceError) -> PreDumpReport? { try await rounds.runNext() }
  }

  private func runNext() async throws(SluiceError) -> PreDumpReport? {
    var sequence = try begin()
    defer { finish(sequence) }
    while let round = try await sequence.next() {
      // Whoever watches sees the number of the round that runs.
      state.withLock { [sequence] in $0.sequence = sequence }
      do throws(SluiceError) {
        let report = try await round.runAsRound()
        sequence.ended(report)
        return report
      } catch {
        try sequence.failed(error)
      }
    }
    progress.finish()
    return nil
  }

  private func begin() throws(SluiceError) -> RoundSequence {
    try state.withLock { (state) throws(SluiceError) in
      guard !state.hasEnded else {
        throw SluiceError(.invalidArgument, "the rounds have ended with the scope of withPreDumpRounds")
      }
      guard !state.isRunning else {
        throw SluiceError(.invalidArgument, "another task is making a round of these already")
      }
      state.isRunning = true
      return state.sequence
    }
  }

  private func finish(_ sequence: RoundSequence) {
    state.withLock {
      $0.sequence = sequence
      $0.isRunning = false
    }
  }

  /// Makes ready for CRIU's final dump, which is to be made before the scope of `withPreDumpRounds` ends: so the
  /// soft-dirty bits are right for memory, too, that the processes move (mremap), until they are stopped.
  ///
  /// - Throws: `SluiceError`: `system` or `io` where that cannot be had; `invalidArgument` after the scope's end, or while a round
  ///   is made.
  public func prepareForDump() async throws(SluiceError) {
    let sequence = try begin()
    defer { finish(sequence) }
    try await Coordinator.run { () async throws(SluiceError) in try sequence.prepareForDump() }
  }

  /// Ends what tracks the writes.
  func end() async {
    progress.finish()
    let sequence = state.withLock { state in
      state.hasEnded = true
      return state.sequence
    }
    // It unregisters whole address spaces. Where there is no thread for that, here is as good.
    do throws(SluiceError) {
      try await Coordinator.run { () async throws(SluiceError) in sequence.endTracking() }
    } catch {
      sequence.endTracking()
    }
  }
}
