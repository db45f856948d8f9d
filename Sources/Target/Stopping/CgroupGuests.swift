/// Who is in the cgroup of a tree without being a part of the tree, such as what was executed into a container: such
/// processes are frozen with it and not copied.
public struct CgroupGuests: Sendable {
  /// So many are named, at most.
  static let mostNamed = 16

  /// Their pids, upwards.
  public let pids: [Int32]
  /// How many more there are that have no pid in our namespace.
  public let unseenCount: Int

  init(of members: CgroupMembers, beside tree: ProcessTree) {
    pids = members.processes.subtracting(tree.knownPids).sorted()
    unseenCount = members.unseenCount
  }

  /// Whether there are none.
  public var isEmpty: Bool { pids.isEmpty && unseenCount == 0 }

  /// How many, and who.
  public var description: String {
    var parts = pids.prefix(Self.mostNamed).map { "\($0)" }
    let others = pids.count - parts.count
    if others > 0 { parts.append("\(others) more") }
    if unseenCount > 0 { parts.append("\(unseenCount) of other pid namespaces") }
    return parts.joined(separator: ", ")
  }
}
