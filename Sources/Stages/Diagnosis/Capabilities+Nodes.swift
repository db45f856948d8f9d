internal import SluicePipeline

/// What there is of nodes, and what becomes of readers and buffers there.
extension Capabilities {
  mutating func tryNodes() {
    add(Self.nodes(.current(needsAll: true)))
  }

  /// - Parameter topology: the machine's.
  static func nodes(_ topology: Topology) -> Finding {
    let limits = limits(topology.limits)
    let (placement, _) = (try? topology.placement(of: .onEach(1))) ?? (nil, 1)
    if let placement {
      return Finding(.numa, true, "\(topology.nodes.count) nodes (\(list(topology))): \(placement)\(limits)")
    }
    guard topology.nodes.count > 1 else {
      return Finding(.numa, true, "the machine has one node, so nothing is placed\(limits)")
    }
    return Finding(
      .numa, false, "of \(topology.nodes.count) nodes (\(list(topology))) one may be used\(limits)",
      fallback: "the kernel chooses where readers and buffers are",
      advice: "allow Sluice processors and memory of the others (cpuset, taskset)")
  }

  /// Each node with its memory and how many processors we may run on there.
  private static func list(_ topology: Topology) -> String {
    topology.nodes.map { node in
      let memory = node.memoryBytes == 0 ? "no memory" : "\(node.memoryBytes >> 20) MiB"
      let processors =
        node.processors.isEmpty ? "no processors" : "processors \(Placement.list(node.processors))"
      return
        "\(node.number): \(memory)\(node.memoryBytes > 0 && !node.givesMemory ? ", forbidden" : ""), \(processors)"
    }.joined(separator: "; ")
  }

  private static func limits(_ limits: Topology.Limits) -> String {
    var texts: [String] = []
    if let bytes = limits.memoryBytes { texts.append("\(bytes >> 20) MiB of memory") }
    if let processors = limits.processors {
      let hundredths = Int((processors * 100).rounded())
      texts.append("the time of \(hundredths / 100).\(hundredths % 100 / 10)\(hundredths % 10) processors")
    }
    return texts.isEmpty ? "" : "; the cgroup of sluice allows \(texts.joined(separator: " and "))"
  }
}
