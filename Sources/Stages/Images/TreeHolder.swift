internal import SluicePipeline
internal import SluiceTarget

/// Holds a tree still, on a thread of its own.
actor TreeHolder {
  private nonisolated let executor: ThreadExecutor
  private var held: StoppedTree?
  private var began = ContinuousClock.now
  /// How long the tree stood still, from the first attempt to stop a process of it until all of them ran again; zero before
  /// that.
  private(set) var stoppedFor = Duration.zero

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  init(executor: ThreadExecutor) {
    self.executor = executor
  }

  /// What goes on writing while the tree stands still cannot be compared.
  private static func refuseOutsiders(of tree: inout ProcessTree) throws(SluiceError) {
    try onTarget { () throws(TargetError) in try tree.lookOutside() }
    if let outsider = tree.outsiders.first(where: \.isCertain) { throw SluiceError(outsider) }
  }

  /// - Parameter stuck: is called when this actor's thread is in the kernel for longer than the tree may stand still.
  /// - Returns: the tree as it stands still, and what the stop itself has changed of each process, by its pid.
  func stop(
    _ tree: ProcessTree, limit: Duration, stuck: @escaping @Sendable (TargetError) -> Void
  ) throws(SluiceError) -> (tree: ProcessTree, changed: [Int32: [Range<UInt64>]]) {
    var tree = tree
    var changed: [Int32: [Range<UInt64>]] = [:]
    try Self.refuseOutsiders(of: &tree)
    do throws(TargetError) {
      var stopped = try StoppedTree(of: tree, freezing: nil, limit: limit, stuck: stuck)
      began = .now
      try stopped.stop(&tree)
      for process in tree.processes { changed[process.pid] = try stopped.changedByStop(in: process) }
      held = consume stopped
    } catch {
      throw SluiceError(error)
    }
    // One may have appeared until all stood still.
    do throws(SluiceError) { try Self.refuseOutsiders(of: &tree) } catch {
      resume()
      throw error
    }
    return (tree, changed)
  }

  /// Waits until the tree has been held for as long as it may be, or the task is cancelled, and lets go of it.
  ///
  /// - Returns: the error for the first of these.
  func waitUntilOverdue() async -> SluiceError? {
    defer { resume() }
    guard let lease = lease else { return nil }
    do { try await Task.sleep(until: lease.deadline, clock: .continuous) } catch { return nil }
    return SluiceError(lease.isOver("all of them was compared"))
  }

  private var lease: StopLease? {
    switch held {
    case .some(let stopped): stopped.lease
    case .none: nil
    }
  }

  private func resume() {
    guard var stopped = held.take() else { return }
    stopped.resume()
    stoppedFor = began.duration(to: .now)
  }
}
