internal import Logging
internal import SluiceImages
internal import SluicePipeline

/// Keeps the state of a run for all who carry it forward, and the parent whose inventory it has set aside.
final class RunJournal: Sendable {
  private struct State: Sendable {
    var machine = RunStateMachine()
    var parent: ParentImages?
  }

  private let state = Locked(State())
  private let logger: Logger

  init(logger: Logger) { self.logger = logger }

  /// The run has come so far.
  func reach(_ next: RunStateMachine.State) { state.withLock { $0.machine.reach(next) } }

  /// Sets the parent's inventory aside: from now on only this run can make it good.
  ///
  /// - Throws: `SluiceError`; the inventory is where it was.
  func claim(_ parent: ParentImages) throws(SluiceError) {
    try onImages { () throws(ImagesError) in try parent.setAside() }
    state.withLock {
      $0.machine.reach(.parentClaimed)
      $0.parent = parent
    }
  }

  /// The parent whose inventory is aside; nil where none is.
  var claimed: ParentImages? { state.withLock { $0.parent } }

  /// Whether what the tracker knew of the time before was taken from it.
  var hasCleared: Bool { state.withLock { $0.machine.hasCleared } }

  /// What is to be undone, in this order, where the run ends now.
  var undo: [RunStateMachine.Undo] { state.withLock { $0.machine.undo } }

  /// Undoes what was done to the parent, if nothing is lost yet. Another way to begin the round can be tried then.
  ///
  /// - Returns: false where what was written is not known any more: the inventory stays aside.
  @discardableResult
  func putParentBack() -> Bool {
    let parent = state.withLock { state -> ParentImages? in
      guard state.machine.undo.contains(.putParentBack) else { return nil }
      state.machine.releaseParent()
      return state.parent.take()
    }
    guard let parent else { return claimed == nil }
    do throws(ImagesError) {
      try parent.putBack()
    } catch {
      // The failure that led to this is the one to report.
      logger.warning(
        "nothing can be built on the images in \(parent.path), whose inventory stays set aside: \(error)")
    }
    return true
  }
}
