/// Which nodes of memory and processors a machine has (NUMA), as far as this program may use them.
///
/// The facts are those of /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node), cut to what a cpuset and
/// the affinity of our threads leave.
public struct Topology: Hashable, Sendable {
  /// One node.
  public struct Node: Hashable, Sendable {
    /// Its number; numbers may have gaps.
    public let number: Int
    /// Its processors that are online and that we may run on, in ascending order. None where it has only memory.
    public let processors: [UInt32]
    /// Its memory in bytes; 0 where it has only processors.
    public let memoryBytes: UInt64
    /// Whether we may take memory from it: it has some, and no cpuset forbids it.
    public let givesMemory: Bool
    /// How far the memory of other nodes is, by their numbers; its own is at 10.
    public let distances: [Int: Int]

    /// A node by its facts.
    public init(
      number: Int, processors: [UInt32], memoryBytes: UInt64, givesMemory: Bool, distances: [Int: Int] = [:]
    ) {
      self.number = number
      self.processors = processors
      self.memoryBytes = memoryBytes
      self.givesMemory = givesMemory
      self.distances = distances
    }

    /// Whether a reader can be on it with buffers of its own.
    public var isUsable: Bool { givesMemory && !processors.isEmpty }
  }

  /// What the cgroup that we are in, and those above it, allow.
  public struct Limits: Hashable, Sendable {
    /// The memory in bytes (memory.max); nil for no limit.
    public var memoryBytes: UInt64?
    /// How many processors' time (cpu.max); nil for no limit.
    public var processors: Double?

    /// No limits, or these.
    public init(memoryBytes: UInt64? = nil, processors: Double? = nil) {
      self.memoryBytes = memoryBytes
      self.processors = processors
    }
  }

  /// All nodes that are online, by number.
  public let nodes: [Node]
  /// What our cgroup allows.
  public var limits = Limits()

  /// A machine with these nodes.
  public init(nodes: [Node], limits: Limits = Limits()) {
    self.nodes = nodes.sorted { $0.number < $1.number }
    self.limits = limits
  }

  /// A machine that tells of no nodes has one.
  public static let single = Topology(nodes: [])

  /// The nodes that readers and buffers can be on.
  public var usable: [Node] { nodes.filter(\.isUsable) }

  /// The one of `candidates` that the memory of a node is nearest to; among equals the one with the lowest number.
  public func nearest(to number: Int, among candidates: [Int]) -> Int? {
    if candidates.contains(number) { return number }
    func distance(from candidate: Int) -> Int {
      let known = nodes.first { $0.number == candidate }?.distances[number]
      // As far as the kernel says of what cannot be reached.
      return known ?? 255
    }
    return candidates.min { (distance(from: $0), $0) < (distance(from: $1), $1) }
  }
}

extension Topology {
  /// A list of numbers as the kernel writes them, such as "0-3,8".
  ///
  /// - Returns: the numbers in ascending order; nil for what is no such list, or has one above `highest`.
  public static func numbers(_ text: some StringProtocol, upTo highest: Int) -> [Int]? {
    var numbers: Set<Int> = []
    let list = text.split(whereSeparator: \.isWhitespace)
    guard list.count <= 1 else { return nil }
    for range in list.first?.split(separator: ",", omittingEmptySubsequences: false) ?? [] {
      let ends = range.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
        first >= 0, first <= last, last <= highest
      else { return nil }
      numbers.formUnion(first...last)
    }
    return numbers.sorted()
  }

  /// The bytes behind a key of a node's meminfo, such as "Node 1 MemTotal:  524288 kB".
  static func bytes(_ key: String, in meminfo: String) -> UInt64? {
    for line in meminfo.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count >= 4, words[2] == key + ":", let kilobytes = UInt64(words[3]) else { continue }
      return kilobytes << 10
    }
    return nil
  }

  /// A node's distances, which are in the order of the nodes that are online.
  static func distances(_ text: String, of online: [Int]) -> [Int: Int] {
    let values = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    guard values.count == online.count else { return [:] }
    return Dictionary(uniqueKeysWithValues: zip(online, values))
  }

  /// The processors' time that a cpu.max allows: "max 100000", or microseconds of time in microseconds.
  static func processors(in limit: String) -> Double? {
    let words = limit.split(whereSeparator: \.isWhitespace)
    guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0 else {
      return nil
    }
    return quota / period
  }
}
