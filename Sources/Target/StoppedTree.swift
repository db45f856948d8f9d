/// Holds a tree of processes still: through the cgroup that they are in, or thread by thread.
///
/// Used from one thread of ours, as `StoppedThreads` is.
public struct StoppedTree: ~Copyable {
  private var cgroup: FrozenCgroup?
  private var threads: StoppedThreads?

  /// Prepares to stop a tree; nothing happens to it before `stop`.
  ///
  /// - Parameter cgroup: the directory of the cgroup that holds all of the tree; nil stops it thread by thread, which
  ///   takes seconds where there are a thousand.
  /// - Throws: `TargetError`.
  public init(of tree: ProcessTree, freezing cgroup: String?) throws(TargetError) {
    if let cgroup {
      self.cgroup = try FrozenCgroup.open(path: cgroup)
    } else {
      threads = try StoppedThreads(of: tree.processes)
    }
  }

  /// Stops the tree, with all children that are born meanwhile, and with those that share the memory of one of them.
  /// Descendants that end meanwhile are left out of it.
  ///
  /// - Throws: `TargetError`; the tree runs on when this value is gone.
  public mutating func stop(_ tree: inout ProcessTree) throws(TargetError) {
    try cgroup?.freeze()
    try threads?.stop()
    var held = Set<Int32>()
    while true {
      try TargetError.checkCancellation()
      var new = try tree.grow()
      new += tree.sharing.filter { held.insert($0.pid).inserted }
      if new.isEmpty { break }
      // Parents first: one in vfork cannot be stopped before its child has gone on.
      for process in new { try threads?.stop(also: [process]) }
    }
    try tree.settle()
    guard cgroup != nil else { return }
    for process in tree.processes + tree.sharing where try !isHeld(process) {
      throw TargetError(
        .invalidCgroup,
        "process \(process.pid) is not in the cgroup that was frozen: name one that holds the whole tree")
    }
  }

  private func isHeld(_ process: TargetProcess) throws(TargetError) -> Bool {
    // Optional chaining would consume it.
    switch cgroup {
    case .some(let cgroup): try cgroup.holds(process)
    case .none: true
    }
  }

  /// Ends the hold and leaves the tree stopped: by SIGSTOP, until SIGCONT, or in its frozen cgroup.
  ///
  /// - Throws: `TargetError`; it runs on then.
  public mutating func leaveStopped() throws(TargetError) {
    cgroup?.leaveFrozen()
    try threads?.leaveStopped()
  }

  /// Lets the tree go on.
  public mutating func resume() {
    cgroup?.thaw()
    threads?.resume()
  }
}
