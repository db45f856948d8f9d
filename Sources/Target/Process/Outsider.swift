internal import CSluiceLinux
import Glibc

/// A process outside of a tree that shares memory with one in it (CLONE_VM): it was made by a process that has ended, by
/// an ancestor of the tree, or as a child of the tree's parent. Or one below the tree that we cannot hold, such as one
/// whose main thread has ended. It goes on writing to that memory when the tree stands still.
public struct Outsider: Hashable, Sendable, CustomStringConvertible {
  /// The pid that we see it under.
  public let pid: Int32
  /// The process of the tree that has the same memory.
  public let owner: Int32
  /// Whether it is certain; or else the kernel does not tell, and all that it shows of the two memories is the same.
  public let isCertain: Bool

  /// What it is, in a few words.
  public var description: String {
    isCertain
      ? "process \(pid), which is not stopped with the tree, shares the memory of process \(owner)"
      : "process \(pid) may share the memory of process \(owner): the kernel does not say (kcmp)"
  }

  /// Looks through all processes that we see for such.
  ///
  /// - Parameters:
  ///   - processes: those whose memory matters, each with another one.
  ///   - members: those that are not outside.
  ///   - refused: descendants that cannot be held. Where it is because the main thread has ended, the memory is that of
  ///     the other threads.
  ///   - known: processes that were looked at before and had a memory of their own. Of these none becomes one that shares
  ///     another's: memory is shared from birth on, and no pid comes round again in the meantime. Others of the kind are added.
  /// - Throws: `TargetError` when the processes cannot be listed.
  static func find(
    besides members: [TargetProcess], refused: [Int32], sharing processes: [TargetProcess],
    except known: inout Set<Int32>
  ) throws(TargetError) -> [Outsider] {
    let owners = processes.map(\.pid)
    let inside = Set(members.map(\.pid))
    var others: [Int32]
    do throws(ProcFile.OpenFailed) {
      others = try ProcFile.numbers(inDirectoryAt: "/proc").filter {
        !inside.contains($0) && !known.contains($0)
      }
    } catch {
      throw TargetError(.systemCall, "listing the processes in /proc", errno: error.errno)
    }
    var outsiders: [Outsider] = []
    var processOf: [Int32: Int32] = [:]
    for pid in refused {
      for thread in try otherThreads(of: pid) { processOf[thread] = pid }
    }
    others += processOf.keys
    let found = MemoryOrder.owners(of: others, among: owners) { MemoryOrder.Answer(comparing: $0, with: $1) }
    var sizes: [(pid: Int32, begin: UInt64, sizes: [Substring]?)] = []
    for (pid, owner) in zip(others, found) {
      switch owner {
      case .itself:
        // Threads of what cannot be held are looked at each time.
        if processOf[pid] == nil { known.insert(pid) }
      case .other(let owner):
        let process = processOf[pid] ?? pid
        guard try hasMemory(pid), !outsiders.contains(where: { $0.pid == process }) else { continue }
        // Born since the tree was listed, it belongs to that.
        if try descends(process, from: inside, but: refused) { continue }
        outsiders.append(Outsider(pid: process, owner: owner, isCertain: true))
      case .untold:
        guard let own = try Self.sizes(of: pid) else { continue }
        if sizes.isEmpty {
          for owner in processes {
            sizes.append((owner.pid, owner.stackStart, try Self.sizes(of: owner.pid)))
          }
        }
        // Where its stack began is not told of others' processes.
        let begin = try status(of: pid)?.stackStart
        guard let like = sizes.first(where: { $0.sizes == own && (begin == 0 || begin == $0.begin) })
        else { continue }
        outsiders.append(Outsider(pid: pid, owner: like.pid, isCertain: false))
      }
    }
    return outsiders
  }

  /// Whether a process is below one of a tree, whatever lies between, but is not, and is not below, one that cannot be held.
  private static func descends(
    _ pid: Int32, from inside: Set<Int32>, but refused: [Int32]
  ) throws(TargetError) -> Bool {
    // One that has ended meanwhile is nobody to mind.
    guard var status = try status(of: pid) else { return true }
    var pid = pid
    // As many as may be between two looks, and no more should pids be given anew in a circle.
    for _ in 0..<64 where !refused.contains(pid) {
      if inside.contains(status.parentPid) { return true }
      pid = status.parentPid
      guard pid > 1, let parent = try Self.status(of: pid) else { return false }
      status = parent
    }
    return false
  }

  /// The threads of a process without the main one; none of one that has ended.
  private static func otherThreads(of pid: Int32) throws(TargetError) -> [Int32] {
    let threads = try look(at: pid) { () throws(ProcFile.OpenFailed) in
      try ProcFile.numbers(inDirectoryAt: "/proc/\(pid)/task")
    }
    return (threads ?? []).filter { $0 != pid }
  }

  /// Whether a process has memory at all: those that have none are all the same to kcmp(2).
  private static func hasMemory(_ pid: Int32) throws(TargetError) -> Bool {
    guard let status = try status(of: pid) else { return false }
    return !status.isKernelThread && !status.hasEnded
  }

  private static func status(of pid: Int32) throws(TargetError) -> ProcessStatus? {
    let status = try look(at: pid) { () throws(ProcFile.OpenFailed) in
      ProcessStatus(
        stat: try ProcFile.text(ofFileAt: "/proc/\(pid)/stat", access: .readIfAllowed),
        status: try ProcFile.text(ofFileAt: "/proc/\(pid)/status", access: .readIfAllowed))
    }
    return status ?? nil
  }

  /// What everybody may know of a process' memory, and what is hardly ever the same of two; nil where it has none.
  private static func sizes(of pid: Int32) throws(TargetError) -> [Substring]? {
    let text = try look(at: pid) { () throws(ProcFile.OpenFailed) in
      try ProcFile.text(ofFileAt: "/proc/\(pid)/status", access: .readIfAllowed)
    }
    guard let text else { return nil }
    let keys = ["VmPeak:", "VmSize:", "VmData:", "VmStk:", "VmExe:", "VmLib:", "VmPTE:"]
    let lines = text.split(separator: "\n").filter { line in keys.contains { line.hasPrefix($0) } }
    return lines.isEmpty ? nil : lines
  }

  /// Nil of a process that has ended meanwhile, or that /proc hides from us (hidepid).
  private static func look<Result>(
    at pid: Int32, _ body: () throws(ProcFile.OpenFailed) -> Result
  ) throws(TargetError) -> Result? {
    do throws(ProcFile.OpenFailed) {
      return try body()
    } catch {
      if [ENOENT, ESRCH, EACCES, EPERM].contains(error.errno.code) { return nil }
      throw TargetError(
        .systemCall, "looking whether process \(pid) shares memory with the tree", errno: error.errno)
    }
  }
}
