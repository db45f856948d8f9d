/// How far a run has come, and what of it must be undone where it ends early.
///
/// The states follow each other in one order; those that a run does not need it leaves out.
struct RunStateMachine {
  /// How far a run has come.
  enum State: Int, Comparable {
    /// The directory is taken, and nothing was done to a process.
    case prepared
    /// The parent's inventory is set aside: only this run can make it good.
    case parentClaimed
    /// The processes stand still.
    case stopped
    /// What the tracker knew of the time before is taken from it.
    case cleared
    /// Pages are read.
    case reading
    /// All pages are read, and the processes run, unless they are to be left stopped.
    case runningAgain
    /// All pages are where they belong.
    case written
    /// What was written is valid.
    case published

    static func < (one: State, other: State) -> Bool { one.rawValue < other.rawValue }
  }

  /// What is to be done when a run ends early.
  enum Undo: Hashable {
    /// Let the processes run again, before anything else.
    case resume
    /// Remove what was written.
    case abortSink
    /// Give the parent its inventory back: it is as good as before.
    case putParentBack
  }

  private(set) var state = State.prepared
  private var hasStopped = false
  private var hasParentAside = false
  private(set) var hasCleared = false

  /// The run has come so far.
  mutating func reach(_ next: State) {
    // A tree that somebody else lets run is stopped again; several processes are cleared one by one.
    precondition(
      next > state || next == state && (next == .stopped || next == .cleared),
      "a run goes forward: \(next) does not follow \(state)")
    state = next
    switch next {
    case .parentClaimed: hasParentAside = true
    case .stopped: hasStopped = true
    case .cleared: hasCleared = true
    case .prepared, .reading, .runningAgain, .written, .published: break
    }
  }

  /// The parent has its inventory back, before what the tracker knew was taken from it: the run may begin anew.
  mutating func releaseParent() {
    precondition(hasParentAside && !hasCleared, "a parent that was given up stays aside")
    (state, hasParentAside, hasStopped) = (.prepared, false, false)
  }

  /// What is to be undone, in this order, where the run ends now.
  var undo: [Undo] {
    var steps: [Undo] = []
    // What is to be left stopped is held until the end, and resumed wherever that is not reached.
    if hasStopped { steps.append(.resume) }
    // What is valid stays, whatever goes wrong after it.
    if state < .published { steps.append(.abortSink) }
    // After the clear the parent stays aside: what was written since its images were made is not known any more.
    if hasParentAside, !hasCleared, state < .published { steps.append(.putParentBack) }
    return steps
  }
}
