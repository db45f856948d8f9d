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
      ? "process \(pid), which is not held still with the tree, shares the memory of process \(owner)"
      : "process \(pid) may share the memory of process \(owner), which the kernel does not tell (kcmp)"
  }

  /// Looks through all processes that we see for such.
  ///
  /// - Parameters:
  ///   - processes: those whose memory matters, each with another one.
  ///   - members: those that are not outside.
  ///   - refused: descendants that cannot be held. Where it is because the main thread has ended, the memory is that of
  ///     the other threads.
  /// - Throws: `TargetError` when the processes cannot be listed.
  static func find(
    besides members: [TargetProcess], refused: [Int32], sharing processes: [TargetProcess]
  ) throws(TargetError) -> [Outsider] {
    let owners = processes.map(\.pid)
    let inside = Set(members.map(\.pid))
    var others: [Int32]
    do throws(ProcFile.OpenFailed) {
      others = try ProcFile.numbers(inDirectoryAt: "/proc").filter { !inside.contains($0) }
    } catch {
      throw TargetError(.systemCall, "listing the processes in /proc", errno: error.errno)
    }
    let threads = refused.flatMap(otherThreads)
    let processOf = Dictionary(threads, uniquingKeysWith: { first, _ in first })
    others += threads.map(\.0)
    let found = MemoryOrder.owners(of: others, among: owners) { MemoryOrder.Answer(comparing: $0, with: $1) }
    var outsiders: [Outsider] = []
    var sizes: [(pid: Int32, sizes: [Substring])]?
    for (pid, owner) in zip(others, found) {
      switch owner {
      case .itself: continue
      case .other(let owner):
        let process = processOf[pid] ?? pid
        guard hasMemory(pid), !outsiders.contains(where: { $0.pid == process }) else { continue }
        outsiders.append(Outsider(pid: process, owner: owner, isCertain: true))
      case .untold:
        guard let own = Self.sizes(of: pid) else { continue }
        sizes = sizes ?? owners.compactMap { pid in Self.sizes(of: pid).map { (pid, $0) } }
        guard let like = sizes?.first(where: { $0.sizes == own }) else { continue }
        outsiders.append(Outsider(pid: pid, owner: like.pid, isCertain: false))
      }
    }
    return outsiders
  }

  /// The threads of a process without the main one; none of one that has ended.
  private static func otherThreads(of pid: Int32) -> [(Int32, Int32)] {
    let threads = (try? ProcFile.numbers(inDirectoryAt: "/proc/\(pid)/task")) ?? []
    return threads.filter { $0 != pid }.map { ($0, pid) }
  }

  /// Whether a process has memory at all: those that have none are all the same to kcmp(2).
  private static func hasMemory(_ pid: Int32) -> Bool {
    guard let stat = try? ProcFile.text(ofFileAt: "/proc/\(pid)/stat"),
      let text = try? ProcFile.text(ofFileAt: "/proc/\(pid)/status"),
      let status = ProcessStatus(stat: stat, status: text)
    else { return false }
    return !status.isKernelThread && !status.hasEnded
  }

  /// What everybody may know of a process' memory, and what is hardly ever the same of two; nil where it has none.
  private static func sizes(of pid: Int32) -> [Substring]? {
    guard let text = try? ProcFile.text(ofFileAt: "/proc/\(pid)/status") else { return nil }
    let keys = ["VmPeak:", "VmSize:", "VmData:", "VmStk:", "VmExe:", "VmLib:", "VmPTE:"]
    let lines = text.split(separator: "\n").filter { line in keys.contains { line.hasPrefix($0) } }
    return lines.isEmpty ? nil : lines
  }
}
