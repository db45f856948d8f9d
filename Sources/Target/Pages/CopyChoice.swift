/// Which members of a tree are copied, and which are left to another one: the rules, without any looking.
struct CopyChoice {
  /// What the rules go by.
  struct Member {
    let pid: Int32
    /// The pid in its own pid namespace, which its images would be named by.
    let namespacePid: Int32
    /// In clock ticks since boot.
    let startTime: UInt64
    /// Where its stack began.
    let stackStart: UInt64
    /// Whether it was copied until now.
    let isCopied: Bool
    /// Whether earlier images are of it.
    let isKnown: Bool
  }

  /// What becomes of a member.
  enum Verdict: Hashable, Sendable {
    case isCopied
    /// It has the memory of this process, which is copied or left out for its name.
    case sharesMemory(of: Int32)
    /// Its images would have the same name as those of this process, which is copied.
    case sharesName(of: Int32)
  }

  /// In the order of the members.
  private(set) var verdicts: [Verdict]
  /// Of those that may have the memory of another one, which the kernel does not tell: that one.
  private(set) var unclear: [Int32: Int32] = [:]

  /// - Parameter members: parents before their children. The first one is what it is all about, and is copied.
  init(of members: [Member], _ compare: MemoryOrder.Compare) {
    let preferred = members.indices.sorted { Self.rank(members[$0], $0) < Self.rank(members[$1], $1) }
    let owners = MemoryOrder.owners(of: preferred.map { members[$0].pid }, compare)
    verdicts = members.map { _ in .isCopied }
    var names: [Int32: Int32] = [:]
    var stacks: [UInt64: Int32] = [:]
    for (index, owner) in zip(preferred, owners) {
      let member = members[index]
      if case .other(let pid) = owner {
        verdicts[index] = .sharesMemory(of: pid)
        continue
      }
      // Memories that began with the same program may be the same.
      if owner == .untold, let other = stacks[member.stackStart] { unclear[member.pid] = other }
      stacks[member.stackStart] = stacks[member.stackStart] ?? member.pid
      if let other = names[member.namespacePid] {
        verdicts[index] = .sharesName(of: other)
      } else {
        names[member.namespacePid] = member.pid
      }
    }
  }

  /// Those with the lower rank come first: what is copied stays so, in this tree and in later rounds. Of others, the one
  /// that was there first: so a parent comes before its children.
  private static func rank(_ member: Member, _ index: Int) -> (Int, UInt64, Int) {
    (index == 0 ? 0 : member.isCopied ? 1 : member.isKnown ? 2 : 3, member.startTime, index)
  }
}
