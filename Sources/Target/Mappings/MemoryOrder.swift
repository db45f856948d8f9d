/// Which of several processes have one and the same memory (CLONE_VM). The kernel compares memories as if they were
/// numbers (kcmp(2), KCMP_VM): so each process is compared with few of the others.
///
/// The order is one of memories, not of processes: one that executes a program meanwhile has another memory, in another
/// place. So whether the order holds is looked at when all are in it; where it does not, all are compared with all.
struct MemoryOrder {
  /// What the kernel says of the memories of two processes.
  enum Answer: Hashable, Sendable {
    case same
    /// The first one's comes before the second one's.
    case before
    case after
    /// One of the two has ended.
    case gone
    /// It does not say.
    case untold
  }

  /// Whose memory a process has.
  enum Owner: Hashable, Sendable {
    /// That of no process before it.
    case itself
    /// That of this process, which came before it.
    case other(Int32)
    /// The kernel does not tell.
    case untold
  }

  typealias Compare = (_ one: Int32, _ other: Int32) -> Answer

  /// So often the memories are put in order, until that is compared with comparing all with all.
  private static let mostTries = 3

  /// Finds out whose memory processes have: that of the first of them which has it.
  ///
  /// - Parameter pids: the processes; of those that share a memory, the first one counts as its owner.
  /// - Returns: the owners, in the order of the processes.
  static func owners(of pids: [Int32], _ compare: Compare) -> [Owner] {
    for _ in 0..<mostTries {
      var order = MemoryOrder()
      let owners = pids.map { order.owner(of: $0, keeps: true, compare) }
      if order.holds(compare) { return owners }
    }
    var known: [Int32] = []
    return pids.map { pid in
      let owner = owner(of: pid, among: known, compare)
      if owner == .itself { known.append(pid) }
      return owner
    }
  }

  /// Finds out whether others have the memory of one of these processes.
  ///
  /// - Parameters:
  ///   - owners: processes with different memories.
  ///   - others: processes that are none of them; those that have one another's memory are not told.
  /// - Returns: the answers, in the order of the others.
  static func owners(of others: [Int32], among owners: [Int32], _ compare: Compare) -> [Owner] {
    for _ in 0..<mostTries {
      var order = MemoryOrder()
      for pid in owners { _ = order.owner(of: pid, keeps: true, compare) }
      let found = others.map { order.owner(of: $0, keeps: false, compare) }
      if order.holds(compare) { return found }
    }
    return others.map { owner(of: $0, among: owners, compare) }
  }

  private static func owner(of pid: Int32, among known: [Int32], _ compare: Compare) -> Owner {
    var isUntold = false
    for other in known {
      switch compare(pid, other) {
      case .same: return .other(other)
      case .before, .after, .gone: continue
      case .untold: isUntold = true
      }
    }
    return isUntold ? .untold : .itself
  }

  /// The processes, each with another memory, in the order of these.
  private var sorted: [Int32] = []

  /// - Parameter keeps: whether those that come later are compared with this one, too.
  private mutating func owner(of pid: Int32, keeps: Bool, _ compare: Compare) -> Owner {
    var range = 0..<sorted.count
    while !range.isEmpty {
      let middle = range.lowerBound + range.count / 2
      switch compare(pid, sorted[middle]) {
      case .same: return .other(sorted[middle])
      case .before: range = range.lowerBound..<middle
      case .after: range = middle + 1..<range.upperBound
      case .gone:
        if compare(pid, pid) == .gone { return .itself }
        // Or else its pid is another one's by now.
        guard compare(sorted[middle], sorted[middle]) == .gone else { continue }
        // Who has ended has no memory that another could share; the rest is still in order.
        sorted.remove(at: middle)
        range = range.lowerBound..<range.upperBound - 1
      case .untold: return .untold
      }
    }
    if keeps { sorted.insert(pid, at: range.lowerBound) }
    return .itself
  }

  private func holds(_ compare: Compare) -> Bool {
    sorted.indices.dropFirst().allSatisfy { compare(sorted[$0 - 1], sorted[$0]) == .before }
  }
}
