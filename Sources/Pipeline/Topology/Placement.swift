/// Which readers are on which nodes, and which of them read the pages that a node holds.
public struct Placement: Hashable, Sendable {
  /// A node with readers and buffers of its own.
  public struct Place: Hashable, Sendable {
    /// The node's number.
    public let node: Int
    /// The processors that its readers stay on.
    public let processors: [UInt32]
    /// How many readers it has.
    public let readers: Int

    /// A node with readers.
    public init(node: Int, processors: [UInt32], readers: Int) {
      self.node = node
      self.processors = processors
      self.readers = readers
    }
  }

  /// How many readers there are to be.
  public enum Readers: Hashable, Sendable {
    /// So many on each node, and so many at all where there is one.
    case onEach(Int)
    /// So many on each of these nodes, and none on others.
    case onNodes([Int: Int])
  }

  /// A node was named that readers cannot be on.
  public struct NoSuchNode: Error, Hashable {
    /// Its number.
    public let number: Int
    /// Those that they can be on.
    public let usable: [Int]
  }

  /// The nodes with readers, by number.
  public let places: [Place]
  /// For each node that holds memory, which of the places is nearest.
  public let homes: [Int: Int]

  /// Places by themselves, for who knows better than a topology.
  public init(places: [Place], homes: [Int: Int]) {
    self.places = places
    self.homes = homes
  }

  /// All of the readers.
  public var readers: Int { places.reduce(0) { $0 + $1.readers } }

  /// The nodes that hold memory, by number.
  public var nodes: [Int] { homes.keys.sorted() }
}

extension Topology {
  /// Which readers there are, and where.
  ///
  /// Processors of nodes without memory get no readers: the pages and the buffers would both be elsewhere.
  ///
  /// - Returns: the placement, nil where there is but one node to place anything on; and how many readers there are.
  /// - Throws: `Placement.NoSuchNode`.
  public func placement(
    of wish: Placement.Readers
  ) throws(Placement.NoSuchNode) -> (placement: Placement?, readers: Int) {
    let usable = usable
    let counts: [Int: Int]
    switch wish {
    case .onEach(let count):
      guard usable.count > 1 else { return (nil, count) }
      counts = Dictionary(uniqueKeysWithValues: usable.map { ($0.number, count) })
    case .onNodes(let named):
      // A machine that tells of no nodes has node 0.
      let numbers = nodes.count > 1 ? usable.map(\.number) : [nodes.first?.number ?? 0]
      if let other = named.keys.sorted().first(where: { !numbers.contains($0) }) {
        throw Placement.NoSuchNode(number: other, usable: numbers)
      }
      guard nodes.count > 1 else { return (nil, named.values.reduce(0, +)) }
      counts = named
    }
    let places = usable.compactMap { node in
      counts[node.number].flatMap { count in
        count > 0 ? Placement.Place(node: node.number, processors: node.processors, readers: count) : nil
      }
    }
    let numbers = places.map(\.node)
    var homes: [Int: Int] = [:]
    for node in nodes where node.memoryBytes > 0 {
      homes[node.number] = nearest(to: node.number, among: numbers).flatMap { numbers.firstIndex(of: $0) }
    }
    let placement = Placement(places: places, homes: homes)
    return (placement, placement.readers)
  }
}

extension Placement: CustomStringConvertible {
  /// In one line, such as "node 0: 1 reader on processors 0-3; node 1: 1 reader on processors 4-7".
  public var description: String {
    places.enumerated().map { index, place in
      let others = nodes.filter { homes[$0] == index && $0 != place.node }
      let also =
        others.isEmpty ? "" : ", also for what node \(others.map(String.init).joined(separator: ", ")) holds"
      return "node \(place.node): \(place.readers) \(place.readers == 1 ? "reader" : "readers") on"
        + " \(place.processors.count == 1 ? "processor" : "processors") \(Self.list(place.processors))\(also)"
    }.joined(separator: "; ")
  }

  /// Numbers as the kernel lists them, such as "0-3,8".
  public static func list(_ numbers: [UInt32]) -> String {
    var ranges: [ClosedRange<UInt32>] = []
    for number in numbers {
      if let last = ranges.last, last.upperBound + 1 == number {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",")
  }
}
