public import Logging
internal import SluicePipeline

/// Copies the pages of a source of your own into a sink: by the stages, and in the budget, of a pre-dump.
///
/// ```swift
/// let manifest = try await PageCopy(from: source, into: MemorySink()).run()
/// print(manifest.entries.map(\.pagesWritten))
/// ```
///
/// The source is walked once. It is held up when the sink takes nothing, so that memory stays within the budget, however
/// much the source has.
public struct PageCopy: Sendable {
  /// How many threads read, each with a reader of the source's; from 1 to 256.
  public var readers = 1
  /// Receives log messages.
  public var logger = Logger(label: "sluice", factory: { _ in SwiftLogNoOpLogHandler() })
  /// Progress. Yields elements while `run` is running; what is expected is not known.
  public let progress: ProgressFeed
  private let source: any PageSource
  private let sink: any PageSink
  private let runtime: SluiceRuntime
  private let ownsRuntime: Bool

  /// Prepares a copy; nothing happens before `run`.
  ///
  /// - Parameters:
  ///   - source: where pages come from.
  ///   - sink: where they go.
  ///   - runtime: what it works with, and shares a memory budget in; nil for a runtime of its own, with 64 MiB.
  ///   - progress: what is told how far it has come, for whoever watches from another task.
  public init(
    from source: any PageSource, into sink: any PageSink, in runtime: SluiceRuntime? = nil,
    progress: ProgressFeed = ProgressFeed()
  ) {
    (self.source, self.sink, self.progress) = (source, sink, progress)
    self.runtime = runtime ?? SluiceRuntime()
    ownsRuntime = runtime == nil
  }

  /// Runs to the end: the sink's `commit`, or its `abort`. Cancelling the task ends it as soon as the source and the sink
  /// come back from what they are called for.
  ///
  /// - Returns: what was copied, as the sink was told.
  /// - Throws: `SluiceError`: `cancelled`; `invalidArgument` for a source that breaks the rules of `PlanWriter`, and for
  ///   readers or a budget that cannot be; what the source or the sink throws, by `SluiceError.init(of:)`.
  public func run() async throws(SluiceError) -> RunManifest {
    defer { progress.finish() }
    let result = await Result { () async throws(SluiceError) in
      try PreDump.Configuration.check(readers, "readers", PreDump.Configuration.possibleReaders)
      return try await runtime.coordinate { () async throws(SluiceError) in try await copy() }
    }
    if ownsRuntime { await runtime.shutdown() }
    do throws(SluiceError) { return try result.get() } catch { throw error.ifCancelled(is: "the copy") }
  }

  @concurrent
  private func copy() async throws(SluiceError) -> RunManifest {
    progress.begin(round: nil, tries: 1)
    defer { progress.enter(.ended) }
    let lease = try await runtime.acquire(
      RuntimeNeeds(
        shares: [], limits: sink.limits, readers: readers, queueDepth: 1, writeEngine: .threads,
        registersBuffers: false, logger: logger))
    do throws(SluiceError) {
      let stages = try Stages(
        from: source, to: sink, by: lease, progress: progress, observer: NoObserver())
      progress.enter(.copying)
      let counts = try await stages.run()
      guard !Task.isCancelled else { throw .cancelled }
      progress.enter(.publishing)
      let manifest = RunManifest(
        entries: counts.sink.order.map { owner in
          RunManifest.Entry(
            owner: owner, pagesWritten: counts.sink.owners[owner]?.pagesWritten ?? 0,
            failure: source.failure(of: owner).map { "\($0)" })
        },
        pageSize: lease.ring.layout.pageSize, images: nil)
      try await embedders { try await sink.commit(manifest) }
      await runtime.release(lease, isReusable: true)
      return manifest
    } catch {
      await sink.abort()
      await runtime.release(lease, isReusable: false)
      throw error
    }
  }
}
