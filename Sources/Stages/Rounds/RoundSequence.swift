internal import Logging
internal import SluiceImages
internal import SluiceSystem
internal import SluiceTarget

/// Which rounds follow each other, and what each is: `PreDumpRounds` runs them.
///
/// A round in the middle of which the process executes another program is made again, of the new program. Where the dirty
/// tracker was cleared by then, what it knew is lost: the chain begins anew with that round, which copies everything.
struct RoundSequence: Sendable {
  private let configuration: PreDump.Configuration
  private let policy: RoundPolicy
  private let lastRound: PreDumpRounds.LastRound?
  private let tracking: WriteTracking?
  private let runtime: SluiceRuntime
  /// What the rounds are a part of, as it is told to the observer; nil where there is none.
  private let run: Observation?
  /// Where the pages of each round go, by its number; nil where they go into directories.
  private let sinks: (@Sendable (Int) throws -> any PageSink)?
  private let covered: CoveredMemory?
  /// The pids of the processes of which the last round has nothing, since they failed.
  private var failed: Set<Int32> = []
  let progress = ProgressFeed()
  private let claims = SoftDirtyClaims()
  private let began = ContinuousClock.now
  private var figures: RoundPolicy.Figures?
  private var decision: RoundPolicy.Decision
  private var isLastBegun = false
  private var writeRate: Double?
  private var tries = ExecRetryPolicy()
  /// The processes that the last round has copied.
  private var known: Set<ProcessTree.Identity> = []
  /// Which directory the last round's images are in: somebody else may be able to put another in its place.
  private var last: FileIdentity?
  /// The number of the round that `next` has given last, from 1; 0 before the first.
  private(set) var number = 0

  /// Prepares rounds; the directory that theirs are in is made where there is none.
  ///
  /// - Parameters:
  ///   - configuration: of each round. Its parent, if it has one, is that of the first.
  ///   - policy: when to end.
  ///   - lastRound: one more round (counted in `policy.rounds`), in which the processes are stopped, and whose images with
  ///     their parents have the memory as it is then. Nil for none.
  ///   - precedesDump: whether CRIU's final dump is made while this value is kept (`prepareForDump`).
  ///   - sinks: where the pages of each round go, by its number; nil for directories.
  ///   - runtime: what the rounds work with; nil for one of their own, with the configuration's budget.
  ///   - run: what the rounds are a part of, as it is told to the observer.
  /// - Throws: `SluiceError`: `cannotCreate`, or what is wrong with the process.
  init(
    _ configuration: PreDump.Configuration, policy: RoundPolicy, lastRound: PreDumpRounds.LastRound? = nil,
    precedesDump: Bool = false, into sinks: (@Sendable (Int) throws -> any PageSink)? = nil,
    in runtime: SluiceRuntime? = nil, within run: Observation? = nil
  ) throws(SluiceError) {
    self.run = run
    self.sinks = sinks
    covered = sinks == nil ? nil : CoveredMemory()
    var configuration = configuration
    if sinks != nil {
      guard configuration.tracker != .content else {
        throw SluiceError(
          .invalidArgument, "rounds into sinks have no hashes of the pages to compare (tracker: content)")
      }
      configuration.imagesDirectory = Self.sinkName
      (configuration.parentDirectory, configuration.pageServer) = (nil, nil)
    }
    try configuration.check(hasSink: sinks != nil)
    try policy.check()
    self.configuration = configuration
    self.runtime = runtime ?? SluiceRuntime(memoryBudget: configuration.memoryBudget)
    var policy = policy
    if lastRound != nil { policy.rounds -= 1 }
    self.policy = policy
    self.lastRound = lastRound
    decision = policy.rounds > 0 ? .goOn(pause: .zero) : .end(.rounds)
    // One round by itself has no use for what ends with it.
    let isUsed = policy.rounds > 1 || policy.rounds > 0 && lastRound != nil || precedesDump
    let isAskedFor = configuration.tracker == .writeProtect || configuration.tracker == .both
    tracking = isUsed || isAskedFor ? WriteTracking() : nil
    let pid = configuration.pid
    let first = try onTarget { () throws(TargetError) in try TargetProcess(pid: pid).namespaceRoot() }
    guard sinks == nil else { return }
    let directory = configuration.imagesDirectory
    try onImages { () throws(ImagesError) in
      try UnfinishedImages.makeDirectory(at: directory, owner: first.map(FileOwner.init))
    }
  }

  /// What messages call the sinks.
  private static let sinkName = "the rounds' sink"

  /// Why there is no further round, but for a last one that was asked for; nil while there may be one.
  var end: RoundPolicy.End? {
    guard case .end(let end) = decision else { return nil }
    return end
  }

  /// Whether `next` has no further round to give, not even a last one that was asked for.
  var isOver: Bool { end != nil && (lastRound == nil || isLastBegun || refusalOfLast != nil) }

  /// The next round, after the pause before it.
  ///
  /// - Returns: nil when the policy says that it is enough.
  /// - Throws: `SluiceError` with `cancelled`.
  mutating func next() async throws(SluiceError) -> PreDump? {
    if let error = refusalOfLast { throw error }
    guard let pause = pauseBeforeNext else { return nil }
    do {
      try await Task.sleep(for: pause)
    } catch {
      throw SluiceError(.cancelled, "the rounds were cancelled before round \(number + 1) began")
    }
    if !tries.isAgain {
      isLastBegun = end != nil
      number += 1
    }
    tries.begins()
    var role = RoundRole(
      tracking: tracking, claims: claims, number: number, tries: tries.count, known: known)
    role.isFirst = number == 1 && tries.count == 1
    role.forecastsStop = lastRound != nil || policy.maxStop != nil
    role.writeRate = writeRate
    role.run = run
    if isLastBegun {
      role.isLast = true
      role.leavesStopped = lastRound == .leavesStopped
      if number == 1, policy.ifNotConverging == .fail { role.stopLimit = policy.maxStop }
    }
    var round = configuration
    if let sinks {
      role.covered = covered
      if number > 1, let covered { role.written = covered.written(as: Self.sinkName, except: failed) }
      let sink: any PageSink
      do { sink = try sinks(number) } catch { throw SluiceError(of: error) }
      return PreDump(round, as: role, into: sink, in: runtime, progress: progress)
    }
    if number > 1 {
      round.parentDirectory = directory(number - 1)
      role.parent = last
    }
    round.imagesDirectory = directory(number)
    return PreDump(round, as: role, in: runtime, progress: progress)
  }

  /// Why there is no last round, where the stop would be too long; nil where there may be one.
  private var refusalOfLast: SluiceError? {
    guard lastRound != nil, number > 0, !isLastBegun, !tries.isAgain, policy.ifNotConverging == .fail,
      let limit = policy.maxStop, let end, end != .stopFits
    else { return nil }
    return SluiceError(
      notConvergingAfter: number, stop: figures?.predictedStop, limit: limit,
      isOutOfRounds: end != .noConvergence)
  }

  /// Nil where no round follows.
  private var pauseBeforeNext: Duration? {
    if tries.isAgain { return ExecRetryPolicy.pause }
    switch decision {
    case .goOn(let pause): return pause
    case .end: return isOver ? nil : .zero
    }
  }

  /// Takes note of how the round failed that `next` has given, which gives the same one again if that was because the
  /// process executed another program, but not without end.
  ///
  /// - Throws: `SluiceError` where it does not.
  mutating func failed(_ error: SluiceError) throws(SluiceError) {
    if error.code == .cancelled, number > 1, !error.isOfOneLeftBehind {
      throw SluiceError(
        .cancelled,
        "round \(number) was cancelled: its unfinished images are removed, and the rounds before it stay")
    }
    guard error.isCausedByExec else { throw error }
    guard tries.failed() else {
      throw SluiceError(
        error.code,
        "round \(number) was tried \(ExecRetryPolicy.most) times, and each time the process executed another program in the"
          + " middle of it: try again later. The last time: \(error)",
        isCausedByExec: true)
    }
    configuration.logger.warning(
      "round \(number) is made again (try \(tries.count + 1) of \(ExecRetryPolicy.most)): \(error)")
    // It is like the first one: nothing that the one before it copied is of this program.
    figures = nil
  }

  /// Takes note of how the round went that `next` has given.
  mutating func ended(_ report: PreDumpReport) {
    last = report.place?.identity
    failed = Set(report.processes.filter { $0.error != nil }.map(\.pid))
    writeRate = report.writeRate ?? writeRate
    guard !isLastBegun else { return }
    known = Set(report.processes.filter { $0.error == nil }.map(\.identity))
    let figures = RoundPolicy.Figures(
      pagesWritten: report.pagesWritten, pagesSkippedParent: report.pagesSkippedParent,
      duration: report.duration, elapsed: began.duration(to: .now), predictedStop: report.predictedStop
    )
    decision = policy.decide(number: number, last: figures, previous: self.figures)
    self.figures = figures
    if number == 1, report.tracker == .nothing, end == nil {
      configuration.logger.warning(
        "every round copies everything, since nothing tracks what was written (tracker: none)")
    }
  }

  /// Makes ready for CRIU's final dump, which is to be made before this value goes: so the soft-dirty bits are right
  /// for memory, too, that the processes move (mremap), until they are stopped.
  ///
  /// - Throws: `SluiceError`.
  func prepareForDump() throws(SluiceError) {
    try onTarget { () throws(TargetError) in try tracking?.prepareForDump() }
    try distrustLastRound()
  }

  /// Has CRIU take every page anew, where it would not see what was written since the last round.
  private func distrustLastRound() throws(SluiceError) {
    guard number > 0, sinks == nil, try onTarget({ () throws(TargetError) in try SoftDirty.isSupported() })
    else { return }
    let tree: ProcessTree
    let first: NamespaceRoot?
    do throws(TargetError) {
      tree = try ProcessTree(root: configuration.pid)
      first = try tree.processes[0].namespaceRoot()
    } catch {
      // Who makes the dump says so.
      guard error.code == .gone || error.code == .noSuchProcess else { throw SluiceError(error) }
      return
    }
    let doubts = try SoftDirtyDoubts(about: tree.processes)
    guard !doubts.isEmpty else { return }
    let isNew = try onImages { () throws(ImagesError) in
      try ParentImages(path: directory(number), expecting: last)
        .distrustSoftDirty(owner: first.map(FileOwner.init))
    }
    // Else the round has said so.
    if isNew { doubts.warn(configuration.logger) }
  }

  /// Ends what tracks the writes; no round can follow.
  func endTracking() { tracking?.giveUp(othersTrack: false) }

  private func directory(_ number: Int) -> String { "\(configuration.imagesDirectory)/\(number)" }
}
