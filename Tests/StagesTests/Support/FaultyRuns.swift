import CSluiceLinux
import Foundation
import Logging
import SluicePipeline
import SluiceTestSupport

@testable import Sluice

/// Pre-dumps of one process, again and again, with faults; the first thing that is not as it must be ends it.
///
/// For a process of its own: it makes system calls of the whole process fail, and counts its threads and
/// descriptors.
struct FaultyRuns {
  /// What faults there are.
  enum Kind: String, CaseIterable, Codable, Sendable {
    /// Errors that last, short counts, delays, and cancellation; the process stands still.
    case anything
    /// The same with a process that goes on.
    case anythingWhileItRuns
    /// What passes: short counts, interruptions, delays. The images must come out right.
    case passing
    /// Every call in turn fails once.
    case eachCall
  }

  /// What the faults come in.
  enum Part: String, CaseIterable, Codable, Sendable {
    /// A pre-dump by itself.
    case single
    /// The first of several rounds, which has the process watched.
    case firstRound
    /// A later one, of a process that has written since.
    case laterRound
    /// A last one, for which the process stands still.
    case lastRound
  }

  /// What must not be. The seed in the text has the run again: SLUICE_FAULT_SEED.
  struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  /// How often each outcome was seen.
  struct Tally: CustomStringConvertible {
    var succeeded = 0
    var failed = 0
    var cancelled = 0
    var strikes = 0
    var struckSites: Set<Faults.Site> = []

    var runs: Int { succeeded + failed + cancelled }
    var description: String {
      let sites = struckSites.map { "\($0)" }.sorted().joined(separator: " ")
      return
        "\(runs) runs: \(succeeded) succeeded, \(failed) failed, \(cancelled) cancelled; \(strikes) errors at \(sites)"
    }
  }

  let kind: Kind
  let part: Part
  private let target: MemoryTarget
  /// What was open before the runs.
  private let descriptors: [String: Int]
  /// The target before the runs.
  private let state: TargetState
  private let watchdog: Watchdog
  private var tally = Tally()

  /// Runs for so long, writes what came of it to a file, and ends this process if that is not good.
  static func run(
    _ kind: Kind, in part: Part = .single, for duration: Duration, reportingTo path: String
  ) async {
    await OwnProcess.report(to: path) { watchdog in
      try await run(kind, in: part, for: duration, watchdog: watchdog)
    }
  }

  /// - Returns: what came of the runs, and of a last check of the process.
  private static func run(
    _ kind: Kind, in part: Part, for duration: Duration, watchdog: Watchdog
  ) async throws -> Tally {
    var options = ["--size", "3M", "--layout", "alternate", "--odd", "--vmas", "20"]
    if kind == .anythingWhileItRuns || part != .single { options += ["--write-rate", "20000"] }
    return try await MemoryTarget.run(options) { target in
      if kind != .anythingWhileItRuns { try await target.program.stop() }
      // What is made once for the whole process, such as a descriptor of the runtime's, is not to be counted.
      _ = await PreDump(.init(pid: getpid(), imagesDirectory: "")).result(cancelledAfter: .zero)
      try await Task.sleep(for: .milliseconds(1))
      let descriptors = openDescriptors()
      var runs = FaultyRuns(
        kind: kind, part: part, target: target, descriptors: descriptors,
        state: try TargetState(target.pid), watchdog: watchdog)
      switch kind {
      case .eachCall: try await runs.eachCall(for: duration)
      default: try await runs.many(for: duration)
      }
      target.program.resume()
      try await target.check()
      return runs.tally
    }
  }

  private init(
    kind: Kind, part: Part, target: MemoryTarget, descriptors: [String: Int], state: TargetState,
    watchdog: Watchdog
  ) {
    self.kind = kind
    self.part = part
    self.target = target
    self.descriptors = descriptors
    self.state = state
    self.watchdog = watchdog
  }

  // MARK: Which runs

  private mutating func many(for duration: Duration) async throws {
    let end = ContinuousClock.now + duration
    if let seed = ProcessInfo.processInfo.environment["SLUICE_FAULT_SEED"].flatMap({ UInt64($0) }) {
      repeat { try await one(seed: seed) } while ContinuousClock.now < end
      return
    }
    var random = SystemRandomNumberGenerator()
    while ContinuousClock.now < end { try await one(seed: random.next() >> 16) }
  }

  private mutating func one(seed: UInt64) async throws {
    var random = SplitMix(seed: seed)
    let delay =
      kind != .passing && Int.random(in: 0..<5, using: &random) == 0
      ? Duration.microseconds(Int.random(in: 0...20_000, using: &random)) : nil
    // From a run that almost surely fails to one that almost surely does not.
    let errors: [UInt64] = kind == .passing ? [0] : [0, 20, 100, 500, 2000]
    let faults = RandomFaults(
      seed: seed, errors: errors.randomElement(using: &random) ?? 0,
      passing: [2, 5, 50].randomElement(using: &random) ?? 0,
      delays: [0, 5, 50].randomElement(using: &random) ?? 0)
    let part = part
    try await run("seed \(seed)", plan: .random(faults), cancelledAfter: delay) {
      $0.vary(using: &random)
      guard part != .single else { return }
      $0.tracker =
        part != .firstRound && Int.random(in: 0..<3, using: &random) == 0 ? .content : .writeProtect
      // By these alone, memory cannot be protected.
      if $0.tracker == .writeProtect { $0.pageStates = .automatic }
    }
  }

  /// Has each call of a run fail, with each of its errors, in a few configurations; where the time does not last for all,
  /// some of them.
  private mutating func eachCall(for duration: Duration) async throws {
    let end = ContinuousClock.now + duration
    var strikes: [(variant: Int, strike: Faults.Strike)] = []
    let variants = Self.variants(of: part)
    for (number, variant) in variants.enumerated() {
      let calls = try await run("no faults", plan: .none, variant).calls
      for site in Faults.Site.allCases {
        // The first calls of a site are the most different; of the many that follow, some.
        let count = calls[Int(site.rawValue)]
        for call in 0..<count where call < 12 || call % 17 == 0 || call >= count - 2 {
          for errno in site.lastingErrors {
            strikes.append((number, Faults.Strike(site: site, call: call, errno: errno)))
          }
        }
      }
    }
    for (variant, strike) in strikes.shuffled() {
      guard ContinuousClock.now < end else { return }
      try await run("\(strike), variant \(variant)", plan: .one(strike), variants[variant])
    }
  }

  private static func variants(of part: Part) -> [@Sendable (inout PreDump.Configuration) -> Void] {
    switch part {
    case .single:
      [
        { _ in }, { $0.io = .buffered }, { $0.writeEngine = .threads }, { $0.tracker = .content },
        {
          $0.pageStates = .pagemap
          $0.readers = 3
        },
      ]
    case .firstRound: [{ $0.tracker = .writeProtect }]
    case .laterRound, .lastRound: [{ $0.tracker = .writeProtect }, { $0.tracker = .content }]
    }
  }

  // MARK: One run

  @discardableResult
  private mutating func run(
    _ name: String, plan: FaultPlan, cancelledAfter delay: Duration? = nil,
    _ configure: (inout PreDump.Configuration) -> Void
  ) async throws -> Faults.Record {
    let directory = "\(Self.place(for: name))/sluice-faults-\(UUID().uuidString)"
    var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
    configure(&configuration)
    let log = WarningLog()
    configuration.logger = log.logger
    let isGiven = part == .single && name.utf8.reduce(0) { $0 &+ $1 } % 2 == 0
    if isGiven {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    }
    defer { try? FileManager.default.removeItem(atPath: directory) }

    let title = "\(kind), \(part), \(name)"
    let (own, result, record) = try await runFaulty(configuration, title, plan, cancelledAfter: delay)

    tally.strikes += record.strikes.count
    tally.struckSites.formUnion(record.strikes.map(\.site))
    let run = FaultyRun(
      name: title, part: part, configuration: own, isGiven: isGiven, record: record, result: result,
      wasCancelled: delay != nil, warnings: log.lines)
    try run.checkVerdict()
    try run.checkDirectory()
    try run.checkParent()
    switch result {
    case .success:
      tally.succeeded += 1
      if kind != .anythingWhileItRuns {
        // One that was stopped before, and held in a last round, comes to a stop again by itself.
        try await eventually("the process stands still") { try target.program.isStopped() }
        try await run.checkImages()
      }
    case .failure(let error) where error.code == .cancelled: tally.cancelled += 1
    case .failure: tally.failed += 1
    }
    try await checkNothingIsLeft(run)
    return record
  }

  /// Runs the part that the faults come in. What rounds share, and with it all that watches the process, is gone
  /// afterwards.
  ///
  /// - Returns: its own configuration, what came of it, and what was done to it.
  private func runFaulty(
    _ configuration: PreDump.Configuration, _ title: String, _ plan: FaultPlan,
    cancelledAfter delay: Duration?
  ) async throws -> (PreDump.Configuration, Result<PreDumpReport, SluiceError>, Faults.Record) {
    // The buffers that the round before makes are counted, too: this one goes on with them.
    Faults.start(.none)
    var rounds = try await startedRounds(configuration, title)
    let next = try await rounds?.next()
    let preDump: PreDump
    if let next { preDump = next } else { preDump = PreDump(configuration) }
    let configuration = preDump.configuration
    watchdog.watch(title)
    Faults.start(plan)
    let result = await preDump.result(cancelledAfter: delay)
    let record = Faults.stop()
    watchdog.watch(nil)
    return (configuration, result, record)
  }

  /// Rounds of which the next one is the part that the faults come in; nil for a pre-dump by itself.
  private func startedRounds(
    _ configuration: PreDump.Configuration, _ title: String
  ) async throws -> RoundSequence? {
    guard part != .single else { return nil }
    var rounds = try RoundSequence(
      configuration, policy: WholeRounds.policy(rounds: 2), lastRound: part == .lastRound ? .resumes : nil)
    guard part != .firstRound, let first = try await rounds.next() else { return rounds }
    watchdog.watch("\(title): the round before")
    target.program.resume()
    rounds.ended(try await first.run())
    try await Task.sleep(for: .milliseconds(2))
    if kind != .anythingWhileItRuns { try await target.program.stop() }
    return rounds
  }

  /// Most runs write to memory, which is quick; the rest where files usually are.
  private static func place(for name: String) -> String {
    let memory = "/dev/shm"
    let isForDisk = name.utf8.reduce(0) { $0 &* 31 &+ $1 } % 4 == 0
    return isForDisk || !FileManager.default.isWritableFile(atPath: memory)
      ? FileManager.default.temporaryDirectory.path : memory
  }

  private func checkNothingIsLeft(_ run: FaultyRun) async throws {
    try await settle("the process is not as it was", run) {
      let now = try TargetState(target.pid)
      return now == state ? [] : [now]
    }
    try await settle("threads are left", run) { StagesTests.threadNames() }
    try await settle("buffers are missing", run) { Faults.mappedBuffers == 0 ? [] : [Faults.mappedBuffers] }
    try await settle("descriptors are left open", run) {
      Self.openDescriptors().filter { $0.value > descriptors[$0.key, default: 0] }
    }
    if tally.runs % 100 == 99 {
      let isStopped = kind != .anythingWhileItRuns
      if isStopped { target.program.resume() }
      try await target.check()
      if isStopped { try await target.program.stop() }
    }
  }

  /// What ended with the run may be gone only a moment after.
  private func settle(
    _ violation: String, _ run: FaultyRun, _ leftOvers: () throws -> some Collection
  ) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while true {
      let left = try leftOvers()
      if left.isEmpty { return }
      guard ContinuousClock.now < deadline else {
        throw Violation(description: "\(violation): \(left), after \(tally.runs) runs: \(run)")
      }
      try await Task.sleep(for: .milliseconds(1))
    }
  }

  /// How many descriptors are open of each file or kind.
  private static func openDescriptors() -> [String: Int] {
    let numbers = names(in: "/proc/self/fd") ?? []
    // The one that the directory was read through is closed again.
    let targets = numbers.compactMap {
      try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
    }
    // ThreadSanitizer has a helper look up the names in a report, even in one that it then suppresses, and keeps the
    // pipes to it.
    let isUnderThreadSanitizer = ProcessInfo.processInfo.environment["SLUICE_SANITIZER"] == "thread"
    let ours = targets.filter { !(isUnderThreadSanitizer && $0.hasPrefix("pipe:")) }
    return ours.reduce(into: [:]) { counts, target in
      // Each pipe has a number of its own.
      counts[target.filter { !$0.isNumber }, default: 0] += 1
    }
  }
}

/// One run and what came of it.
private struct FaultyRun: CustomStringConvertible {
  let name: String
  let part: FaultyRuns.Part
  let configuration: PreDump.Configuration
  let isGiven: Bool
  let record: Faults.Record
  let result: Result<PreDumpReport, SluiceError>
  let wasCancelled: Bool
  let warnings: [String]

  var description: String {
    "\(name); lasting errors: \(lasting), passing ones: \(passingCounts); \(configuration.summary); result: \(outcome); "
      + "warnings: \(warnings)"
  }

  private var outcome: String {
    switch result {
    case .success: "success"
    case .failure(let error): "\(error.code): \(error)"
    }
  }

  private var passingCounts: [Faults.Site: Int] {
    record.strikes.reduce(into: [:]) { counts, strike in
      if strike.site.passingErrors.contains(strike.errno) { counts[strike.site, default: 0] += 1 }
    }
  }

  private var lasting: [Faults.Strike] {
    record.strikes.filter { !$0.site.passingErrors.contains($0.errno) }
  }

  /// An error is reported where one was made, the one that was made, and none else.
  func checkVerdict() throws {
    switch result {
    case .success:
      if let swallowed = lasting.first(where: { !record.hasAnotherWay(than: $0) && !mayBePassedOver($0) }) {
        throw FaultyRuns.Violation(description: "\(swallowed) was passed over: \(self)")
      }
    case .failure(let error):
      if error.code == .cancelled, wasCancelled { return }
      guard let first = lasting.first else {
        throw FaultyRuns.Violation(description: "it failed without a lasting error: \(self)")
      }
      let isOurs =
        if let errno = error.errno {
          lasting.count == 1 ? errno.code == first.errno : lasting.contains { $0.errno == errno.code }
        } else {
          lasting.contains { $0.isToldInWords(as: error.code) }
        }
      guard isOurs else {
        throw FaultyRuns.Violation(description: "the error is not the one that was made: \(self)")
      }
    }
  }

  /// What only makes the next round copy more is a warning.
  private func mayBePassedOver(_ strike: Faults.Strike) -> Bool {
    switch (strike.site, strike.errno) {
    // A process outside of the tree that may not be read is not asked whether it shares memory, and the system call that a
    // thread waits in need not be known by who may not read it. All else that may not be read fails a run.
    case (.openIfAllowed, EACCES): return true
    default: break
    }
    guard part != .single else { return false }
    if warnings.contains(where: { $0.contains(strike.name) }) { return true }
    switch (strike.site, strike.errno) {
    // So a thread is refused that ends: it is tried again.
    case (.trace, EPERM): return true
    default: return false
    }
  }

  /// Either nothing can be built on the parent, or it is as good as before: a last round clears nothing, nor do rounds
  /// that compare contents.
  func checkParent() throws {
    guard let parent = configuration.parentDirectory else { return }
    let found = names(in: parent) ?? []
    let (isWhole, isAside) = (
      found.contains("inventory.img"), found.contains { $0.hasPrefix("inventory.img.") }
    )
    guard isWhole != isAside else {
      throw FaultyRuns.Violation(description: "the parent's inventory: \(found): \(self)")
    }
    let mayBeAside =
      part == .laterRound && configuration.tracker == .writeProtect && !(lasting.isEmpty && isSuccess)
    guard isWhole || mayBeAside else {
      throw FaultyRuns.Violation(description: "the parent is of no use any more: \(found): \(self)")
    }
  }

  private var isSuccess: Bool {
    switch result {
    case .success: true
    case .failure: false
    }
  }

  /// Nothing is left after a failure, and nothing looks unfinished after a success.
  func checkDirectory() throws {
    let found = names(in: configuration.imagesDirectory)
    // What must be removed cannot be, if that fails too.
    let isRemovable = !record.strikes.contains { $0.site == .unlink }
    switch result {
    case .success:
      guard let found, found.contains("inventory.img"), !found.contains(where: { $0.hasSuffix(".partial") })
      else { throw FaultyRuns.Violation(description: "the images are not finished: \(found ?? []): \(self)") }
    case .failure:
      guard !isRemovable || found == (isGiven ? [] : nil) else {
        throw FaultyRuns.Violation(description: "something is left: \(found ?? []): \(self)")
      }
      guard found?.contains("inventory.img") != true else {
        throw FaultyRuns.Violation(description: "it looks finished: \(self)")
      }
    }
  }

  func checkImages() async throws {
    if let parent = configuration.parentDirectory, names(in: parent)?.contains("inventory.img.aside") == true
    {
      // As it was told: what the parent has is as good as before, but nothing else is to be built on it.
      try FileManager.default.moveItem(
        atPath: "\(parent)/inventory.img.aside", toPath: "\(parent)/inventory.img")
    }
    let comparison = try await ImageComparison.run(
      pid: configuration.pid, images: configuration.imagesDirectory)
    guard comparison.isEqual else {
      throw FaultyRuns.Violation(description: "the images are not equal: \(self)\n\(comparison)")
    }
  }
}

extension Faults.Strike {
  /// As the kernel calls the error.
  fileprivate var name: String { unsafe String(cString: SystemErrno(code: errno).cName) }

  /// Errors that are reported for what they mean, without the kernel's name for them.
  fileprivate func isToldInWords(as code: SluiceError.Code) -> Bool {
    switch site {
    case .lock: errno == EAGAIN && code == .cannotCreate
    // Neither way to read a page that is there has worked.
    case .pread: code == .io || code == .targetGone
    default: false
    }
  }
}

extension PreDump.Configuration {
  fileprivate mutating func vary(using random: inout SplitMix) {
    memoryBudget = [1 << 20, 2 << 20, 8 << 20, 64 << 20].randomElement(using: &random) ?? memoryBudget
    readers = Int.random(in: 1...3, using: &random)
    queueDepth = [1, 2, 8, 64].randomElement(using: &random) ?? queueDepth
    io = [.automatic, .automatic, .buffered].randomElement(using: &random) ?? io
    writeEngine = Int.random(in: 0..<3, using: &random) == 0 ? .threads : .automatic
    registersBuffers = Int.random(in: 0..<4, using: &random) > 0
    syncs = Bool.random(using: &random)
    pageStates = Int.random(in: 0..<4, using: &random) == 0 ? .pagemap : .automatic
    if Int.random(in: 0..<4, using: &random) == 0 { tracker = .content }
  }

  fileprivate var summary: String {
    "budget \(memoryBudget), readers \(readers), depth \(queueDepth), io \(io), engine \(writeEngine), "
      + "registers \(registersBuffers), syncs \(syncs), page states \(pageStates), tracker \(tracker), \(imagesDirectory)"
  }
}

extension PreDump {
  fileprivate consuming func result(
    cancelledAfter delay: Duration?
  ) async -> Result<PreDumpReport, SluiceError> {
    // A closure cannot consume what it captures.
    let box = Locked<PreDump?>(self)
    let task = Task {
      guard let preDump = box.withLock({ $0.take() }) else { preconditionFailure("a task runs once") }
      return await preDump.result()
    }
    if let delay {
      try? await Task.sleep(for: delay)
      task.cancel()
    }
    return await task.value
  }
}

/// Keeps what a run warns of.
private final class WarningLog: Sendable {
  private let kept = Locked<[String]>([])

  var lines: [String] { kept.withLock { $0 } }

  var logger: Logger { Logger(label: "faults") { _ in Warnings(kept: kept) } }
}
