internal import CSluiceLinux
internal import SluicePipeline

/// Decides which node's readers get which plan: those of the node that holds its pages.
///
/// The pages of a process are in runs, and these in pieces, of each of which two pages are looked at: an odd number of pages
/// apart, so that memory which is spread over the nodes page by page is seen to be. Such memory is not cut into plans of a
/// page each: whoever reads it has a part of it near.
struct PlanSteering {
  /// Memory whose pages are taken to be on one node.
  struct Stretch: Hashable {
    var byteCount: UInt64
    /// Nil where it is not known.
    var node: Int?
    /// The node of the other half, where the pages are spread over two nodes or more.
    var other: Int?
  }

  /// Pages that are looked at, and what goes by them.
  struct Samples: Hashable {
    var addresses: [UInt64] = []
    /// The bytes of each piece, and how many of the addresses are its own.
    var pieces: [(byteCount: UInt64, count: Int)] = []

    static func == (one: Samples, other: Samples) -> Bool {
      one.addresses == other.addresses && one.pieces.map(\.byteCount) == other.pieces.map(\.byteCount)
    }

    func hash(into hasher: inout Hasher) { hasher.combine(addresses) }
  }

  /// Two pages are looked at in so many bytes; a plan is cut where so many in a row are on another node. Smaller ones would
  /// cost more to hand on than is won.
  static let pieceBytes: UInt64 = 128 << 10
  /// How far ahead one call looks: what is moved in between is read from afar.
  static let lookaheadBytes: UInt64 = 1 << 20
  /// Short runs are looked at when there were so many bytes since, or they are so far from what was looked at.
  private static let bytesBetweenSamples: UInt64 = 64 << 10
  private static let nearBytes: UInt64 = 2 << 20

  private let placement: Placement
  private let slots: [Int: Int]
  private let pageSize: UInt64
  /// Where the open plan is read, or the last one was.
  private(set) var place: Int
  /// Where the pages that come next are best read.
  private var home: Int
  /// Bytes in a row, at the end of the open plan, that are best read elsewhere.
  private var foreignBytes: UInt64 = 0
  private var lastNode: Int?
  private var lastSample: UInt64 = 0
  private var sinceSample: UInt64 = .max
  /// The open plan's bytes by the nodes that hold them, by slot; what is not known last.
  private var held: [UInt64]

  /// - Parameter home: where plans are read that are begun before it is known where their pages are.
  init(_ placement: Placement, pageSize: Int, home: Int = 0) {
    self.placement = placement
    (place, self.home) = (home, home)
    self.pageSize = UInt64(pageSize)
    let nodes = placement.nodes
    slots = Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($1, $0) })
    held = Array(repeating: 0, count: nodes.count + 1)
  }

  /// The pages of another process follow.
  mutating func begin() {
    lastNode = nil
    sinceSample = .max
  }

  /// Says which pages of the beginning of a run are to be looked at. Without an address, none: it is known well enough.
  mutating func samples(of run: MemoryRun) -> Samples {
    var samples = Samples()
    let ahead = min(run.length, Self.lookaheadBytes)
    let distance = run.address > lastSample ? run.address - lastSample : lastSample - run.address
    if run.length < Self.pieceBytes, sinceSample < Self.bytesBetweenSamples, distance < Self.nearBytes {
      samples.pieces.append((ahead, 0))
      sinceSample += ahead
      return samples
    }
    var offset: UInt64 = 0
    while offset < ahead {
      let length = min(Self.pieceBytes, ahead - offset)
      let pages = length / pageSize
      samples.addresses.append(run.address + offset)
      if pages > 1 {
        samples.addresses.append(run.address + offset + min(pages / 2 | 1, pages - 1) * pageSize)
      }
      samples.pieces.append((length, pages > 1 ? 2 : 1))
      offset += length
    }
    (lastSample, sinceSample) = (run.address + ahead, 0)
    return samples
  }

  /// What has come of it.
  ///
  /// - Parameter nodes: for each address; less than 0 where it is not known.
  mutating func stretches(of samples: Samples, on nodes: [Int32]) -> [Stretch] {
    var stretches: [Stretch] = []
    var next = 0
    for (byteCount, count) in samples.pieces {
      let found = nodes[next..<next + count].filter { $0 >= 0 }.map { Int($0) }
      next += count
      var stretch = Stretch(byteCount: byteCount, node: lastNode, other: nil)
      if let first = found.first {
        stretch.node = first
        if let other = found.last, other != first {
          // Either way half of it is far; so the plan is not cut.
          let isOpen = placement.homes[other] == place
          (stretch.node, stretch.other) = isOpen ? (other, first) : (first, other)
        }
        lastNode = stretch.node
      }
      if let last = stretches.last, last.node == stretch.node, last.other == stretch.other {
        stretches[stretches.count - 1].byteCount += byteCount
      } else {
        stretches.append(stretch)
      }
    }
    return stretches
  }

  /// The memory that follows is this.
  ///
  /// - Returns: whether the open plan is to be sent before, for it is another's.
  mutating func turn(to stretch: Stretch, hasPlan: Bool) -> Bool {
    home = stretch.node.flatMap { placement.homes[$0] } ?? place
    guard hasPlan, home != place else {
      foreignBytes = 0
      return false
    }
    foreignBytes += stretch.byteCount
    return foreignBytes >= Self.pieceBytes
  }

  /// A plan is opened for what follows.
  ///
  /// - Parameter chosen: where it is to be read, whoever holds the pages; nil for where they are.
  mutating func open(at chosen: Int? = nil) {
    place = chosen ?? home
    foreignBytes = 0
  }

  /// So many bytes were added to the open plan.
  mutating func add(_ byteCount: UInt64, of stretch: Stretch) {
    guard byteCount > 0 else { return }
    let half = stretch.other == nil ? 0 : byteCount / pageSize / 2 * pageSize
    held[slot(of: stretch.node)] += byteCount - half
    if half > 0 { held[slot(of: stretch.other)] += half }
  }

  private func slot(of node: Int?) -> Int { node.flatMap { slots[$0] } ?? held.count - 1 }

  /// The open plan's bytes by the nodes that hold them; nothing is open then.
  mutating func takeHeld() -> [UInt64] {
    defer { held = Array(repeating: 0, count: held.count) }
    return held
  }
}
