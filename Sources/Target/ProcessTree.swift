internal import CSluiceLinux
import Glibc

/// A process and all its descendants, each held so that it cannot be mistaken for another.
public struct ProcessTree: Sendable {
  /// A descendant that is not to be copied.
  public struct Skipped: Hashable, Sendable {
    /// The pid that we see it under.
    public let pid: Int32
    /// Why, in a few words.
    public let reason: String
  }

  /// The process that the tree begins with, and then its descendants, parents before their children.
  public private(set) var processes: [TargetProcess]
  /// Descendants that are none of those: zombies, those that share the memory of their parent, and those that we
  /// may not read.
  public private(set) var skipped: [Skipped] = []
  /// Those of the skipped that shared the memory of their parent at the last look. They write to memory that is copied,
  /// so they must stand still when its owner must.
  private(set) var sharing: [TargetProcess] = []
  private var seen: Set<Int32>

  /// So many looks at most: where processes are born and end all the while, each look finds new ones.
  private static let mostLooks = 8

  /// The tree as it is at this moment.
  ///
  /// - Throws: `TargetError` when the root cannot be copied.
  public init(root: Int32) throws(TargetError) {
    let root = try TargetProcess(pid: root)
    processes = [root]
    seen = [root.pid]
    try growWhileItRuns { (_) throws(TargetError) in }
  }

  /// Looks for descendants that were not there before, until a look finds none or there were enough of them: a child
  /// that is missed is one that was born just now, and is copied by the next round or dump.
  ///
  /// - Parameter body: what is done with those that a look has found, before the next look.
  /// - Throws: `TargetError` when the kernel does not tell who is whose child; what `body` throws.
  public mutating func growWhileItRuns(
    _ body: ([TargetProcess]) throws(TargetError) -> Void
  ) throws(TargetError) {
    for _ in 0..<Self.mostLooks {
      let found = try grow()
      if found.isEmpty { return }
      try body(found)
    }
  }

  /// Looks for descendants that were not there before, once.
  ///
  /// A child that is forked while this looks may be missed: it is complete when it has found nothing, or when
  /// the processes stand still.
  ///
  /// - Returns: the processes that are new.
  /// - Throws: `TargetError` when the kernel does not tell who is whose child.
  public mutating func grow() throws(TargetError) -> [TargetProcess] {
    var added: [TargetProcess] = []
    let shared = Set(sharing.map(\.pid))
    sharing = []
    for child in try Self.descendants(of: processes.map(\.pid)) {
      // One that shared memory has its own now if it executed a program.
      guard seen.insert(child.pid).inserted || shared.contains(child.pid) else { continue }
      skipped.removeAll { $0.pid == child.pid }
      do throws(TargetError) {
        let process = try TargetProcess(pid: child.pid)
        // The pid may have become another's between the list and the opening.
        guard process.parentPid == child.parent else {
          seen.remove(child.pid)
          continue
        }
        if sluice_share_memory(process.pid, child.parent) == 1 {
          skipped.append(Skipped(pid: child.pid, reason: "shares the memory of process \(child.parent)"))
          sharing.append(process)
        } else {
          added.append(process)
        }
      } catch {
        // It ended meanwhile, or will not let us: the rest of the tree can be copied all the same, and a task
        // without images is copied whole by the next dump.
        guard error.code != .systemCall else { throw error }
        skipped.append(Skipped(pid: child.pid, reason: error.description))
      }
    }
    processes += added
    return added
  }

  /// Takes note of what descendants have become until they stood still: those that have ended, or do so with a core that
  /// is being written, are left out, and those that have executed another program are opened anew.
  ///
  /// - Throws: `TargetError` with `gone` or `dumpingCore` when the root is not what it was; when the kernel does not tell.
  mutating func settle() throws(TargetError) {
    try processes[0].checkStillTheSame()
    try processes[0].checkMayBeInterrupted()
    var settled = [processes[0]]
    for process in processes.dropFirst() {
      do throws(TargetError) {
        let now = try process.asItIsNow()
        try now.checkMayBeInterrupted()
        settled.append(now)
      } catch {
        guard error.code != .systemCall else { throw error }
        // The pid of one that has ended may become another's; a core is left alone to its end.
        if error.code != .dumpingCore { seen.remove(process.pid) }
        skipped.append(Skipped(pid: process.pid, reason: error.description))
      }
    }
    processes = settled
  }

  /// The memory that the processes have for themselves, resident or swapped, in bytes: about what there is to
  /// copy.
  ///
  /// - Throws: `TargetError` when the root is gone, or what the kernel says cannot be read.
  public func ownMemoryBytes() throws(TargetError) -> UInt64 {
    var sum = try processes[0].ownMemoryBytes()
    for process in processes.dropFirst() {
      do throws(TargetError) {
        sum += try process.ownMemoryBytes()
      } catch {
        // One that has ended meanwhile has nothing to copy.
        guard error.code == .gone else { throw error }
      }
    }
    return sum
  }

  private struct Child {
    let pid: Int32
    let parent: Int32
  }

  /// All processes below those, parents before their children.
  private static func descendants(of roots: [Int32]) throws(TargetError) -> [Child] {
    var found: [Child] = []
    var known = Set(roots)
    var queue = roots[...]
    while let parent = queue.popFirst() {
      for pid in try children(of: parent) where known.insert(pid).inserted {
        found.append(Child(pid: pid, parent: parent))
        queue.append(pid)
      }
    }
    return found
  }

  /// The children of a process: each of its threads has a list of its own in /proc/PID/task/TID/children
  /// (CONFIG_PROC_CHILDREN).
  private static func children(of pid: Int32) throws(TargetError) -> [Int32] {
    var children: [Int32] = []
    for thread in try threads(of: pid) {
      do throws(ProcFile.OpenFailed) {
        let text = try ProcFile.text(ofFileAt: "/proc/\(pid)/task/\(thread)/children")
        children += text.split(separator: " ").compactMap { Int32($0) }
      } catch {
        // The thread has ended: its children are another thread's now, or nobody's here.
        if error.errno.code == ESRCH { continue }
        guard error.errno.code == ENOENT else {
          throw TargetError(
            .systemCall, "looking for the children of process \(pid)", errno: error.errno)
        }
        if sluice_has_children_lists() == 0 {
          throw TargetError(
            .systemCall, "this kernel has no /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)")
        }
      }
    }
    return children
  }

  /// The threads of a process; none when it has ended.
  private static func threads(of pid: Int32) throws(TargetError) -> [Int32] {
    let directory = unsafe sluice_open_at(
      sluice_current_directory(), "/proc/\(pid)/task", SLUICE_OPEN_DIRECTORY)
    guard directory >= 0 else {
      if directory == -ENOENT || directory == -ESRCH { return [] }
      throw TargetError(
        .systemCall, "opening /proc/\(pid)/task", errno: SystemErrno(returned: directory))
    }
    defer { _ = sluice_close(directory) }
    var threads: [Int32] = []
    let result = unsafe withUnsafeMutablePointer(to: &threads) { pointer in
      unsafe sluice_list_directory(directory, pointer) { context, name in
        guard let context = unsafe context, let name = unsafe name,
          let thread = Int32(unsafe String(cString: name))
        else { return }
        unsafe context.assumingMemoryBound(to: [Int32].self).pointee.append(thread)
      }
    }
    guard result == 0 || result == -ENOENT || result == -ESRCH else {
      throw TargetError(.systemCall, "listing /proc/\(pid)/task", errno: SystemErrno(returned: result))
    }
    return threads
  }
}
