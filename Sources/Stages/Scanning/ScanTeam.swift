internal import CSluiceLinux
internal import SluicePipeline
internal import SluiceTarget

/// Threads that look at the memory of processes that stand still, side by side: their page tables are what a short stop
/// takes longest with (a million entries take one thread some 16 ms).
///
/// One thread, the walker, asks for what is found, in address order, and scans parts itself while it has to wait for one.
/// The others help it. Each part has a place; there are so few that what is found and not asked for yet takes little memory.
final class ScanTeam: Sendable {
  /// The largest part where pages are.
  static let partBytes: UInt64 = 16 << 20
  /// The largest part where there was nothing before.
  private static let widestPartBytes: UInt64 = 128 << 20
  /// A part with nothing in it that took less may be followed by one that is twice as large.
  private static let quickNanoseconds: UInt64 = 125_000
  /// More are no faster: they share the page tables' locks and the memory's bandwidth with those that read.
  private static let mostHelpers = 7
  private static let placesPerThread = 2

  /// How many threads it has with the walker where so many read what stands still.
  static func size(readers: Int) -> Int { min(readers, mostHelpers + 1) }

  private let helpers: [ThreadExecutor]
  /// What helpers sleep on, each on its own.
  private let bells: [Semaphore]
  private let walkersBell = Semaphore()
  private let state: Locked<State>

  fileprivate struct State {
    /// What is scanned; nil between two processes.
    var scan: (any SharedScan)?
    /// Which scan it is: what is left from one before is dropped.
    var number = 0
    var order: PartOrder
    var results: [Result]
    /// How large the next part is.
    var partBytes = ScanTeam.partBytes
    /// Nothing is left to be handed out: all of it was, or it could not be cut.
    var isHandedOut = false
    var cutFailure: TargetError?
    /// What the helpers came across.
    var tally = PageTally()
    var sleeps: [Bool]
    var walkerSleeps = false
    var haveBegun = false
    var isOver = false
  }

  /// What was found in a part.
  fileprivate struct Result: Sendable {
    var runs: [ScannedRun] = []
    var failure: TargetError?
  }

  /// A part that somebody was handed.
  fileprivate struct Task: Sendable {
    let scan: any SharedScan
    let number: Int
    let place: Int
    let part: ScanPart
    var runs: [ScannedRun]
  }

  /// - Parameter helpers: threads that nothing else is on while the team is there.
  init(helpers: [ThreadExecutor]) {
    self.helpers = helpers
    bells = helpers.map { _ in Semaphore() }
    let capacity = (helpers.count + 1) * Self.placesPerThread
    var results = Array(repeating: Result(), count: capacity)
    for index in results.indices { results[index].runs.reserveCapacity(1024) }
    state = Locked(
      State(
        order: PartOrder(capacity: capacity), results: results,
        sleeps: Array(repeating: false, count: helpers.count)))
  }

  /// Begins with the memory of a process; the one before has ended.
  func begin(_ scan: any SharedScan) {
    let (isFirst, sleepers) = state.withLock { state -> (Bool, [Int]) in
      state.scan = scan
      state.number += 1
      state.order.startAnew()
      state.partBytes = Self.partBytes
      (state.isHandedOut, state.cutFailure, state.tally) = (false, nil, PageTally())
      defer { state.haveBegun = true }
      return (!state.haveBegun, state.wakeAll())
    }
    for helper in sleepers { bells[helper].signal() }
    guard isFirst else { return }
    for (index, executor) in helpers.enumerated() {
      _Concurrency.Task(executorPreference: executor) { [self] in help(index) }
    }
  }

  /// What helpers came across in the parts of the scan that has ended.
  var tally: PageTally { state.withLock { $0.tally } }

  /// Has the helpers leave their threads.
  func end() {
    let sleepers = state.withLock { state -> [Int] in
      (state.isOver, state.scan) = (true, nil)
      return state.wakeAll()
    }
    for helper in sleepers { bells[helper].signal() }
  }

  /// Gives the runs of the next part; for the walker's thread.
  ///
  /// - Parameters:
  ///   - runs: gets what was found, in place of what is in it.
  ///   - scanner: the walker's own, which it makes where it needs one.
  /// - Returns: false after the last part.
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses.
  func next(into runs: inout [ScannedRun], by scanner: inout (any PartScanner)?) throws(TargetError) -> Bool {
    while true {
      var given: [ScannedRun] = []
      swap(&given, &runs)
      switch state.withLock({ $0.takeNext(in: given) }) {
      case .found(let result, let sleeper):
        runs = result.runs
        if let sleeper { bells[sleeper].signal() }
        if let failure = result.failure { throw failure }
        return true
      case .scan(let task): perform(task, by: &scanner)
      case .wait: walkersBell.wait()
      case .end(let failure):
        if let failure { throw failure }
        return false
      }
    }
  }

  private func help(_ helper: Int) {
    var scanner: (any PartScanner)?
    var number = 0
    while true {
      switch state.withLock({ $0.takePart(helper) }) {
      case .scan(let task):
        if task.number != number { (scanner, number) = (nil, task.number) }
        perform(task, by: &scanner)
      case .wait: bells[helper].wait()
      case .leave: return
      }
    }
  }

  private func perform(_ task: Task, by scanner: inout (any PartScanner)?) {
    var result = Result(runs: task.runs)
    var tally = PageTally()
    let began = sluice_monotonic_nanoseconds()
    do throws(TargetError) {
      let made = try scanner.orMade { () throws(TargetError) in try task.scan.makeScanner() }
      scanner = made
      let before = made.tally
      try made.scan(task.part, into: &result.runs)
      tally = made.tally - before
    } catch {
      result.failure = error
    }
    let took = sluice_monotonic_nanoseconds() - began
    if state.withLock({ $0.put(result, of: task, tally, took: took) }) { walkersBell.signal() }
  }

  /// What the walker has to do next.
  fileprivate enum WalkersTurn {
    case found(Result, waking: Int?)
    case scan(Task)
    case wait
    case end(TargetError?)
  }

  /// What a helper has to do next.
  fileprivate enum HelpersTurn {
    case scan(Task)
    case wait
    case leave
  }
}

extension ScanTeam.State {
  fileprivate mutating func takeNext(in room: [ScannedRun]) -> ScanTeam.WalkersTurn {
    switch order.next {
    case .scanned(let place):
      var result = ScanTeam.Result(runs: room)
      swap(&result, &results[place])
      order.giveOn()
      // One is woken for several places, since to wake it takes longer than to scan a part of which little is there.
      let sleeper = isHandedOut || order.room < order.capacity / 2 ? nil : sleeps.firstIndex(of: true)
      if let sleeper { sleeps[sleeper] = false }
      return .found(result, waking: sleeper)
    case .beingScanned, .none:
      if let task = handOut() { return .scan(task) }
      guard order.next == .none else {
        walkerSleeps = true
        return .wait
      }
      return .end(cutFailure)
    }
  }

  fileprivate mutating func takePart(_ helper: Int) -> ScanTeam.HelpersTurn {
    guard !isOver else { return .leave }
    if let task = handOut() { return .scan(task) }
    sleeps[helper] = true
    return .wait
  }

  private mutating func handOut() -> ScanTeam.Task? {
    guard let scan, !isHandedOut, order.room > 0 else { return nil }
    do throws(TargetError) {
      guard let part = try scan.cut(atMost: partBytes) else {
        isHandedOut = true
        return nil
      }
      let place = order.handOut()
      var task = ScanTeam.Task(scan: scan, number: number, place: place, part: part, runs: [])
      swap(&task.runs, &results[place].runs)
      return task
    } catch {
      (isHandedOut, cutFailure) = (true, error)
      return nil
    }
  }

  /// - Returns: whether the walker is to be woken.
  fileprivate mutating func put(
    _ result: ScanTeam.Result, of task: ScanTeam.Task, _ tally: PageTally, took nanoseconds: UInt64
  ) -> Bool {
    guard task.number == number else { return false }
    results[task.place] = result
    order.scanned(task.place)
    self.tally += tally
    if !result.runs.isEmpty {
      partBytes = ScanTeam.partBytes
    } else if nanoseconds < ScanTeam.quickNanoseconds {
      partBytes = min(ScanTeam.widestPartBytes, max(partBytes, 2 * task.part.byteCount))
    }
    defer { walkerSleeps = false }
    return walkerSleeps
  }

  /// - Returns: who is to be woken.
  fileprivate mutating func wakeAll() -> [Int] {
    let sleepers = sleeps.indices.filter { sleeps[$0] }
    for helper in sleepers { sleeps[helper] = false }
    return sleepers
  }
}
