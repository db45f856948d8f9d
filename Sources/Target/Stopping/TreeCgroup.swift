/// Finds the cgroup of version 2 that a tree of processes has for itself: that can be frozen to stop the tree, and nobody
/// else stands still with it.
public enum TreeCgroup {
  /// - Returns: its directory; nil where there is none, or it cannot be frozen by us, or the kernel's own workers for the
  ///   tree, such as those of an io_uring, would be disturbed.
  public static func find(for tree: ProcessTree) -> String? {
    do throws(TargetError) {
      let root = tree.members[0]
      guard let path = try path(of: root.pid), let directory = try directory(of: path) else { return nil }
      let members = try FrozenCgroup.members(ofCgroupAt: directory)
      guard members.unseenCount == 0, members.processes.isSubset(of: Set(tree.members.map(\.pid))) else {
        return nil
      }
      for process in tree.members {
        guard try members.holds(process) else { return nil }
        let list = try ThreadList(of: process)
        for thread in try list.all() where try list.isWorker(thread) == true { return nil }
      }
      return directory
    } catch {
      // Threads are stopped one by one then.
      return nil
    }
  }

  private static func path(of pid: Int32) throws(TargetError) -> String? {
    path(inProcFile: try text(of: "/proc/\(pid)/cgroup"))
  }

  private static func directory(of path: String) throws(TargetError) -> String? {
    directory(of: path, inMountInfo: try text(of: "/proc/self/mountinfo"))
  }

  private static func text(of file: String) throws(TargetError) -> String {
    do throws(ProcFile.OpenFailed) { return try ProcFile.text(ofFileAt: file) } catch {
      throw TargetError(.systemCall, "reading \(file)", errno: error.errno)
    }
  }

  /// The cgroup of version 2 in /proc/PID/cgroup, "0::/a/b" (cgroups(7)); nil where that is the first of all, or not
  /// below the one that we see as the first.
  static func path(inProcFile text: String) -> String? {
    for line in text.split(separator: "\n") where line.hasPrefix("0::/") {
      let path = line.dropFirst(3)
      // The cgroup was removed, and the process is still in it.
      guard path != "/", !path.hasPrefix("/.."), !path.hasSuffix(" (deleted)") else { return nil }
      return String(path)
    }
    return nil
  }

  /// Where a cgroup is mounted, by /proc/self/mountinfo (proc_pid_mountinfo(5)); nil where it is not.
  static func directory(of path: String, inMountInfo text: String) -> String? {
    // The last mount on a place hides those before.
    for line in text.split(separator: "\n").reversed() {
      let halves = line.split(separator: " - ", maxSplits: 1)
      guard halves.count == 2, halves[1].hasPrefix("cgroup2 ") else { continue }
      let fields = halves[0].split(separator: " ")
      guard fields.count >= 5 else { continue }
      let (root, place) = (unescaped(fields[3]), unescaped(fields[4]))
      if root == "/" { return place + path }
      if path == root { return place }
      if path.hasPrefix(root + "/") { return place + path.dropFirst(root.count) }
    }
    return nil
  }

  /// The kernel writes blanks, tabs, line ends and backslashes of paths as "\040".
  private static func unescaped(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      guard byte == UInt8(ascii: "\\"), digits.count == 3,
        let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      else {
        bytes.append(byte)
        continue
      }
      bytes.append(code)
      rest = rest.dropFirst(3)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
