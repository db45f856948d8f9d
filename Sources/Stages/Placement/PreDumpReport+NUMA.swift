internal import SluicePipeline

extension PreDumpReport {
  /// Who read what where, on a machine of several nodes.
  public struct NUMA: Sendable, Codable {
    /// What was read of the pages that a node holds, going by the pages that were looked at just before (a few in each
    /// 128 KiB).
    public struct Node: Sendable, Codable {
      /// The node's number.
      public let node: Int
      /// Readers on it.
      public let readers: Int
      /// Buffers that its readers may have at most.
      public let buffers: Int
      /// Buffers among those that are there, as the kernel tells.
      public let buffersOnNode: Int
      /// Buffers that the kernel has put elsewhere.
      public let buffersElsewhere: Int
      /// Pages read by a reader on the node, into a buffer there.
      public let pagesLocal: UInt64
      /// Pages read otherwise.
      public let pagesRemote: UInt64
      /// The same as `pagesLocal` in bytes.
      public let bytesLocal: UInt64
      /// The same as `pagesRemote` in bytes.
      public let bytesRemote: UInt64

      private enum CodingKeys: String, CodingKey {
        case node
        case readers
        case buffers
        case buffersOnNode = "buffers_on_node"
        case buffersElsewhere = "buffers_elsewhere"
        case pagesLocal = "pages_local"
        case pagesRemote = "pages_remote"
        case bytesLocal = "bytes_local"
        case bytesRemote = "bytes_remote"
      }
    }

    /// The nodes that hold memory, by number.
    public let nodes: [Node]
    /// Pages read of which it is not known where they were.
    public let pagesUnknown: UInt64
    /// Pages that the kernel was asked about.
    public let pagesAsked: UInt64
    /// How often it was asked.
    public let askCalls: UInt64
    /// How long that took.
    @Microseconds public private(set) var askTime: Duration
    /// The node that the writer is on, near the device; nil where it is on any.
    public internal(set) var writerNode: Int?
    /// Why the placement was given up; nil where it was not.
    public let givenUp: String?

    private enum CodingKeys: String, CodingKey {
      case nodes
      case pagesUnknown = "pages_unknown"
      case pagesAsked = "pages_asked"
      case askCalls = "ask_calls"
      case askTime = "ask_us"
      case writerNode = "writer_node"
      case givenUp = "given_up"
    }

    init(_ placing: NodePlacing, ring: BufferRing, read: [NodeBytes], pageSize: UInt64) {
      let placement = placing.placement
      let isPlaced = ring.partCount == placement.places.count && ring.partCount > 0
      nodes = placement.nodes.enumerated().map { slot, number in
        let place = placement.places.firstIndex { $0.node == number }
        let located = place.flatMap { isPlaced ? ring.located(part: $0) : nil }
        let bytes = slot < read.count ? read[slot] : NodeBytes()
        return Node(
          node: number, readers: place.map { placement.places[$0].readers } ?? 0,
          buffers: place.flatMap { isPlaced ? ring.limit(of: $0) : nil } ?? 0,
          buffersOnNode: located?.onNode ?? 0, buffersElsewhere: located?.elsewhere ?? 0,
          pagesLocal: bytes.local / pageSize, pagesRemote: bytes.remote / pageSize, bytesLocal: bytes.local,
          bytesRemote: bytes.remote)
      }
      let unknown = read.count > placement.nodes.count ? read[placement.nodes.count] : NodeBytes()
      pagesUnknown = (unknown.local + unknown.remote) / pageSize
      let cost = placing.cost
      (pagesAsked, askCalls) = (cost.pages, cost.calls)
      askTime = .nanoseconds(counted: cost.nanoseconds)
      givenUp = placing.givenUp
    }

    /// Bytes read by readers on the nodes that hold them, into buffers there; and all bytes read.
    public var localBytes: (local: UInt64, all: UInt64) {
      let local = nodes.reduce(0) { $0 + $1.bytesLocal }
      return (local, nodes.reduce(local) { $0 + $1.bytesRemote })
    }
  }
}
