internal import CSluiceLinux
import Glibc

/// A process and all its descendants, each with open descriptors by which it cannot be mistaken for another.
///
/// Of processes that share one memory (CLONE_VM), in whatever relation, one is copied. The same holds for processes that
/// have the same pid in pid namespaces of their own, since CRIU names images by it. The others are stopped when it is.
public struct ProcessTree: Sendable {
  /// A descendant that is not to be copied.
  public struct Skipped: Hashable, Sendable {
    /// The pid that we see it under.
    public let pid: Int32
    /// Why, in a few words.
    public let reason: String
  }

  /// What tells a process from others that images may be named like it.
  public struct Identity: Hashable, Sendable {
    /// The pid in its own pid namespace, which its images are named by.
    public let namespacePid: Int32
    /// When it started, in clock ticks since boot.
    public let startTime: UInt64

    /// A process.
    public init(namespacePid: Int32, startTime: UInt64) {
      self.namespacePid = namespacePid
      self.startTime = startTime
    }
  }

  /// The process that the tree begins with, and then its descendants, parents before their children.
  public private(set) var processes: [TargetProcess]
  /// Descendants that are none of those: zombies, those that share a memory or a name with one of them, and those that we
  /// may not read. And, where a cgroup is frozen to stop the tree, others that it holds.
  public var skipped: [Skipped] { refused + leftOut + guests }
  /// All that we have open, parents before their children: those that are copied, and those that must stand still with
  /// them.
  private(set) var members: [TargetProcess]
  /// Of processes that may share the memory of another one, which the kernel does not tell, that one's pid.
  public private(set) var unclear: [Int32: Int32] = [:]
  /// Processes outside of the tree that share, or may share, its memory, as `lookOutside` has found them.
  public private(set) var outsiders: [Outsider] = []

  /// Processes outside that do not share memory with it.
  private var knownOutside: Set<Int32> = []
  /// Descendants that cannot be copied.
  private var refused: [Skipped] = []
  /// Members that are not copied.
  private var leftOut: [Skipped] = []
  /// What else is in the cgroup that is frozen.
  private var guests: [Skipped] = []
  private var seen: Set<Int32>
  /// The pids of those members that are not copied.
  private var companions: Set<Int32> = []
  /// Those that earlier images are of: they are to keep their names.
  private let known: Set<Identity>
  /// Whether no descendants belong to it.
  private var isAlone = false

  /// So many looks at most: where processes are born and end all the while, each look finds new ones.
  private static let mostLooks = 8

  /// The tree as it is at this moment.
  ///
  /// - Parameter known: the processes that earlier images are of. Of those that share a memory or a name these are
  ///   copied, else the one that was there first.
  /// - Throws: `TargetError` when the root cannot be copied.
  public init(root: Int32, known: Set<Identity> = []) throws(TargetError) {
    try self.init(of: try TargetProcess(pid: root), known: known)
  }

  /// The same of a process that is open already, and must be the one that it was then.
  ///
  /// - Throws: `TargetError` when the kernel does not tell who is whose child.
  public init(of root: TargetProcess, known: Set<Identity> = []) throws(TargetError) {
    processes = [root]
    members = [root]
    seen = [root.pid]
    self.known = known
    try growWhileItRuns { (_) throws(TargetError) in }
  }

  /// A process that is open already, without its descendants.
  public init(alone root: TargetProcess) {
    processes = [root]
    members = [root]
    seen = [root.pid]
    known = []
    isAlone = true
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
    if isAlone { return [] }
    let found = try Self.descendants(of: members.map(\.pid))
    forgetEndedCompanions()
    for child in found where seen.insert(child.pid).inserted {
      refused.removeAll { $0.pid == child.pid }
      do throws(TargetError) {
        let process = try TargetProcess(pid: child.pid)
        // The pid may have become another's between the list and the opening.
        guard process.parentPid == child.parent else {
          seen.remove(child.pid)
          continue
        }
        members.append(process)
      } catch {
        // It ended meanwhile, or will not let us: the rest of the tree can be copied all the same, and a task
        // without images is copied whole by the next dump.
        guard error.code != .systemCall else { throw error }
        refused.append(Skipped(pid: child.pid, reason: error.description))
      }
    }
    let before = Set(processes.map(ObjectIdentifier.init))
    try choose()
    return processes.filter { !before.contains(ObjectIdentifier($0)) }
  }

  /// Looks who is, beside the tree, in the cgroup that is frozen to stop it.
  ///
  /// - Parameter cgroup: its directory.
  /// - Returns: them; they are among the skipped then.
  /// - Throws: `TargetError` when the cgroup cannot be frozen by us, or holds us.
  public mutating func lookAround(in cgroup: String) throws(TargetError) -> CgroupGuests {
    let guests = CgroupGuests(of: try FrozenCgroup.members(ofCgroupAt: cgroup), beside: self)
    note(guests)
    return guests
  }

  /// Those that are known, whether or not they are copied.
  var knownPids: Set<Int32> { Set(members.map(\.pid) + refused.map(\.pid) + guests.map(\.pid)) }

  /// Takes note of those that are frozen with the tree and are no part of it.
  mutating func note(_ guests: CgroupGuests) {
    self.guests += guests.pids.prefix(CgroupGuests.mostNamed).map {
      Skipped(
        pid: $0, reason: "is in the cgroup that is frozen, but no descendant of process \(processes[0].pid)")
    }
  }

  /// Takes note of what descendants have become until they were stopped: those that have ended, or do so with a core that
  /// is being written, are left out, and those that have executed another program are opened anew.
  ///
  /// - Throws: `TargetError` with `gone` or `dumpingCore` when the root is not what it was; when the kernel does not tell.
  mutating func settle() throws(TargetError) {
    try processes[0].checkStillTheSame()
    try processes[0].checkMayBeInterrupted()
    let copied = Set(processes.map(\.pid))
    var settled = [members[0]]
    for process in members.dropFirst() {
      do throws(TargetError) {
        let now = try process.asItIsNow()
        try now.checkMayBeInterrupted()
        settled.append(now)
      } catch {
        guard error.code != .systemCall else { throw error }
        // The pid of one that has ended may become another's; a core is left alone to its end.
        if error.code != .dumpingCore { seen.remove(process.pid) }
        if copied.contains(process.pid) || error.code == .dumpingCore {
          refused.append(Skipped(pid: process.pid, reason: error.description))
        }
      }
    }
    members = settled
    // What was in the place of one that has ended, or has other memory now, is copied instead.
    try choose()
  }

  /// Looks for processes outside that share the memory of one that is copied.
  ///
  /// - Throws: `TargetError` when the processes cannot be listed.
  public mutating func lookOutside() throws(TargetError) {
    knownOutside = []
    outsiders = try Outsider.find(
      besides: members, refused: refused.map(\.pid), sharing: processes, except: &knownOutside)
  }

  /// The same, but among those that were not there when it was looked last.
  ///
  /// - Throws: `TargetError`, likewise.
  public mutating func lookForNewOutsiders() throws(TargetError) {
    outsiders = try Outsider.find(
      besides: members, refused: refused.map(\.pid), sharing: processes, except: &knownOutside)
  }

  /// Forgets those that have ended without being copied: nothing is to be said of them, and their pids become others'.
  private mutating func forgetEndedCompanions() {
    let ended = members.filter { companions.contains($0.pid) && !$0.lives }.map(\.pid)
    forget(ended)
  }

  private mutating func forget(_ pids: [Int32]) {
    guard !pids.isEmpty else { return }
    members.removeAll { pids.contains($0.pid) }
    seen.subtract(pids)
  }

  /// Chooses which members are copied.
  private mutating func choose() throws(TargetError) {
    while true {
      let copied = Set(processes.map(\.pid))
      let choice = CopyChoice(of: members.map { member(for: $0, copied) }) {
        MemoryOrder.Answer(comparing: $0, with: $1)
      }
      guard try open(choice) else { continue }
      processes = zip(members, choice.verdicts).filter { $0.1 == .isCopied }.map(\.0)
      leftOut = zip(members, choice.verdicts).compactMap { Skipped($0.0, $0.1) }
      companions = Set(leftOut.map(\.pid))
      unclear = choice.unclear
      return
    }
  }

  private func member(for process: TargetProcess, _ copied: Set<Int32>) -> CopyChoice.Member {
    CopyChoice.Member(
      pid: process.pid, namespacePid: process.namespacePid, startTime: process.startTime,
      stackStart: process.stackStart, isCopied: copied.contains(process.pid),
      isKnown: known.contains(process.identity))
  }

  /// Opens those anew that are to be copied and were not until now, where they have executed a program since.
  ///
  /// - Returns: false when one of them has ended, and with it what the choice went by.
  private mutating func open(_ choice: CopyChoice) throws(TargetError) -> Bool {
    for (index, verdict) in zip(members.indices, choice.verdicts)
    where verdict == .isCopied && companions.contains(members[index].pid) {
      do throws(TargetError) {
        members[index] = try members[index].asItIsNow()
      } catch {
        guard error.code != .systemCall else { throw error }
        forget([members[index].pid])
        return false
      }
    }
    return true
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
    do throws(ProcFile.OpenFailed) {
      return try ProcFile.numbers(inDirectoryAt: "/proc/\(pid)/task")
    } catch {
      if error.errno.code == ENOENT || error.errno.code == ESRCH { return [] }
      throw TargetError(.systemCall, "listing /proc/\(pid)/task", errno: error.errno)
    }
  }
}

extension ProcessTree.Skipped {
  /// Nil for one that is copied.
  fileprivate init?(_ process: TargetProcess, _ verdict: CopyChoice.Verdict) {
    pid = process.pid
    switch verdict {
    case .isCopied: return nil
    case .sharesMemory(let owner): reason = "shares the memory of process \(owner)"
    case .sharesName(let other):
      reason =
        "is process \(process.namespacePid) in its own pid namespace, as process \(other) is in another one, and images are named by that pid"
    }
  }
}
