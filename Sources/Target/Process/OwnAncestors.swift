import Glibc

/// This process and those that it was started by: what must go on while a cgroup is frozen.
enum OwnAncestors {
  /// Makes sure that none of them is in a cgroup that is to be frozen. Nobody would be left to thaw it, or to take what
  /// we write and to wait for our end.
  ///
  /// - Throws: `TargetError` with `invalidCgroup`.
  static func checkAreOutside(_ members: CgroupMembers, of path: String) throws(TargetError) {
    guard !members.processes.contains(getpid()) else {
      throw TargetError(
        .invalidCgroup,
        "the cgroup \(path) holds this process (\(getpid())), which could not thaw it: move it to another cgroup first, or name one that holds only the processes to be copied"
      )
    }
    for pid in pids() where members.processes.contains(pid) {
      throw TargetError(
        .invalidCgroup,
        "the cgroup \(path) holds process \(pid), which started this one: start it from outside, or name a cgroup that holds only the processes to be copied"
      )
    }
  }

  /// Those that we were started by, up to the first one that we can see.
  private static func pids() -> [Int32] {
    var found: [Int32] = []
    var pid = getppid()
    while pid > 0, !found.contains(pid) {
      found.append(pid)
      // One that has ended has left its children to another; what may not be looked at is none of ours to wait for.
      guard let parent = (try? StatusLines(ofProcessAt: "/proc/\(pid)"))?.number("PPid") else { break }
      pid = Int32(parent)
    }
    return found
  }
}
