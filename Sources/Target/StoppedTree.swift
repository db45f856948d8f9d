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

  /// Stops the tree, with all children that are born meanwhile.
  ///
  /// - Throws: `TargetError`; the tree runs on when this value is gone.
  public mutating func stop(_ tree: inout ProcessTree) throws(TargetError) {
    try cgroup?.freeze()
    try threads?.stop()
    while true {
      let born = try tree.grow()
      if born.isEmpty { break }
      try threads?.stop(also: born)
    }
    guard cgroup != nil else { return }
    for process in tree.processes where try !isHeld(process) {
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
