internal import SluicePipeline

/// Copies the memory of a running process into CRIU images, or to another sink, while it keeps running.
///
/// ```swift
/// let report = try await PreDump(.init(pid: 4711, imagesDirectory: "/var/tmp/images")).run()
/// print(report.pagesWritten, report.duration)
/// ```
public struct PreDump: ~Copyable, Sendable {
  /// What to copy, where to, and how.
  public let configuration: Configuration
  /// Progress. Yields elements while `run` is running.
  public let progress: ProgressFeed
  private let role: RoundRole
  private let sink: (any PageSink)?
  private let runtime: SluiceRuntime
  private let ownsRuntime: Bool

  /// Prepares a pre-dump into a directory of images; nothing happens before `run`.
  ///
  /// - Parameters:
  ///   - configuration: what to copy, where to, and how. `run` checks it.
  ///   - runtime: what it works with, and shares a memory budget in; nil for a runtime of its own, with the
  ///     configuration's budget.
  ///   - progress: what is told how far it has come, for whoever watches from another task.
  public init(
    _ configuration: Configuration, in runtime: SluiceRuntime? = nil, progress: ProgressFeed = ProgressFeed()
  ) {
    self.init(configuration, into: nil, in: runtime, progress)
  }

  /// Prepares a copy into a sink; nothing happens before `run`.
  ///
  /// Everything is copied, and no later run can build on it: `imagesDirectory`, `parentDirectory` and `tracker` of the
  /// configuration mean nothing here.
  ///
  /// - Parameters:
  ///   - configuration: what to copy, and how. `run` checks it.
  ///   - sink: where the pages go. It may serve several runs, one after the other.
  ///   - runtime: as of the other dumps.
  ///   - progress: the same.
  public init(
    _ configuration: Configuration, into sink: any PageSink, in runtime: SluiceRuntime? = nil,
    progress: ProgressFeed = ProgressFeed()
  ) {
    var configuration = configuration
    configuration.tracker = .none
    configuration.parentDirectory = nil
    self.init(configuration, into: Optional(sink), in: runtime, progress)
  }

  private init(
    _ configuration: Configuration, into sink: (any PageSink)?, in runtime: SluiceRuntime?,
    _ progress: ProgressFeed
  ) {
    // By itself it has no use for a tracker that ends with it, but may be asked to try.
    let isAskedFor = configuration.tracker == .writeProtect || configuration.tracker == .both
    let role = RoundRole(tracking: isAskedFor ? WriteTracking() : nil)
    self.init(configuration, as: role, into: sink, in: runtime, progress: progress)
  }

  init(
    _ configuration: Configuration, as role: RoundRole, into sink: (any PageSink)? = nil,
    in runtime: SluiceRuntime? = nil, progress: ProgressFeed
  ) {
    self.configuration = configuration
    self.role = role
    self.sink = sink
    self.runtime = runtime ?? SluiceRuntime(memoryBudget: configuration.memoryBudget)
    ownsRuntime = runtime == nil
    self.progress = progress
  }

  /// Runs to the end. Cancelling the task ends it early: nothing is kept then, and the process is as it was.
  ///
  /// Where it was cancelled or has failed, and the disk does not answer for ten seconds, it is left behind with what it
  /// had begun. It cleans that up when the disk answers again.
  ///
  /// The work is done on threads of the runtime, and the caller's actor is free meanwhile. One reader copies some 9 GB/s from
  /// memory; as a rule the sink sets the pace.
  ///
  /// - Throws: `SluiceError`: `invalidArgument` for a configuration that cannot be meant, `notFound`, `notPermitted`,
  ///   `targetGone` and `hiddenMemory` of the process, `cannotCreate` and `io` of the images or the sink, `notTrackable` and
  ///   `system` of the kernel, `stoppedTooLong`, `cancelled`. Whatever goes wrong, no directory is left that looks finished.
  public consuming func run() async throws(SluiceError) -> PreDumpReport {
    defer { progress.finish() }
    return try await runAlone()
  }

  private func runAlone() async throws(SluiceError) -> PreDumpReport {
    let run = Observation(.run, of: configuration.pid, by: configuration.observer)
    return try await run.during { () async throws(SluiceError) in try await runAsRound(within: run) }
  }

  /// The same as one of several rounds, which share the progress.
  ///
  /// Not consuming: of a function that is, the compiler (Swift 6.3.1, optimizing) gives up what it copied of `self` before
  /// the end.
  ///
  /// - Parameter run: that the round is a part of; nil for that of its role.
  func runAsRound(within run: Observation? = nil) async throws(SluiceError) -> PreDumpReport {
    let round = Observation(
      .round, of: configuration.pid, round: role.number, within: run ?? role.run, by: configuration.observer)
    return try await round.during { () async throws(SluiceError) in try await runObserved(round) }
  }

  private func runObserved(_ round: Observation?) async throws(SluiceError) -> PreDumpReport {
    defer { progress.enter(.ended) }
    try configuration.check(hasSink: sink != nil || role.core != nil)
    let patience = Patience<PreDumpReport>()
    var configuration = configuration
    configuration.failed = { patience.endSoon($0) }
    configuration.stuck = { patience.endNow(SluiceError($0)) }
    let (runtime, ownsRuntime) = (runtime, ownsRuntime)
    let run = PreDumpRun(
      configuration: configuration, role: role, sink: sink, runtime: runtime, progress: progress,
      observation: round)
    return try await patience.run { () async throws(SluiceError) in
      let result = await Result { () async throws(SluiceError) in
        try await runtime.coordinate { () async throws(SluiceError) in try await run.run() }
      }
      if ownsRuntime { await runtime.shutdown() }
      return try result.get()
    }
  }
}
