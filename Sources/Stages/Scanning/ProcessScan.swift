internal import SluicePipeline
internal import SluiceTarget

/// The walk through the memory of one process: by the walker's own thread, or, where the process stands still, with the help
/// of others.
struct ProcessScan: ~Copyable {
  private let walk: SharedWalk
  private var shared: TeamScan?
  private var found: [ScannedRun] = []

  /// - Parameter team: nil where the walker is alone.
  init(_ walk: consuming sending PageWalk, with team: ScanTeam?) {
    self.walk = SharedWalk(walk)
    if let team { shared = TeamScan(self.walk, by: team) }
  }

  /// Goes on by a step.
  ///
  /// - Returns: false after the last. Else `runs` has what the step found, which may be nothing.
  /// - Throws: `TargetError` when the memory is gone, or the kernel refuses.
  mutating func next() throws(TargetError) -> Bool {
    guard let more = try shared?.next() else { return try walk.next(into: &found) }
    return more
  }

  /// What the last step found, in address order; those that touch differ in what is to be done.
  ///
  /// They are best looked at by index: where somebody keeps a copy of the array, the next step must allocate a new one.
  var runs: [ScannedRun] {
    switch shared {
    case .some(let shared): shared.runs
    case .none: found
    }
  }
  /// Pages that all steps came across and that are not simply there.
  var tally: PageTally {
    switch shared {
    case .some(let shared): shared.tally
    case .none: walk.tally
    }
  }
  /// How many mappings the walk came across so far.
  var mappings: Int { walk.mappings }
  /// How many of those were left out, by reason.
  var skipped: [SkipReason: Int] { walk.skipped }
  /// Whether there were probes among them: `PageWalk.haveProbes`.
  var haveProbes: Bool { walk.haveProbes }
}
