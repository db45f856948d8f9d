internal import CSluiceLinux
internal import Logging
internal import SluicePipeline
internal import SluiceSystem
internal import Synchronization

/// The placement of one run: who reads what, until a node or the kernel fails it. The run then goes on without.
final class NodePlacing: Sendable {
  let placement: Placement
  private let logger: Logger
  private let reason: Locked<String?>
  private let isGivenUp: Atomic<Bool>
  private let asked = Locked(Asked())

  /// What it cost to ask where pages are.
  struct Asked: Hashable, Sendable {
    var pages: UInt64 = 0
    var calls: UInt64 = 0
    var nanoseconds: UInt64 = 0
  }

  /// - Parameter refusal: why it is given up already; nil where it is not.
  init(_ placement: Placement, refusal: String? = nil, logger: Logger) {
    self.placement = placement
    self.logger = logger
    reason = Locked(refusal)
    isGivenUp = Atomic(refusal != nil)
  }

  /// Whether plans still go to the nodes that hold the pages.
  var isOn: Bool { !isGivenUp.load(ordering: .relaxed) }

  /// Why it was given up; nil while it is not.
  var givenUp: String? { reason.withLock { $0 } }

  /// Goes on without, and says so.
  func giveUp(_ why: String) {
    let isNew = reason.withLock { reason in
      defer { reason = reason ?? why }
      return reason == nil
    }
    isGivenUp.store(true, ordering: .relaxed)
    if isNew { logger.warning("going on without NUMA placement: \(why)") }
  }

  /// What was asked so far.
  var cost: Asked { asked.withLock { $0 } }

  /// Asks where pages are, by `locator`.
  ///
  /// - Returns: less than 0 for those of which it is not known.
  func find(_ addresses: [UInt64], by locator: any PageLocator) -> [Int32] {
    let began = sluice_monotonic_nanoseconds()
    var nodes: [Int32] = []
    let refusal = locator.find(addresses, into: &nodes)
    let took = sluice_monotonic_nanoseconds() - began
    asked.withLock {
      $0.pages += UInt64(addresses.count)
      $0.calls += 1
      $0.nanoseconds += took
    }
    guard let refusal else { return nodes }
    // Of a process that has ended, its reader tells.
    if refusal.name != "ESRCH" { giveUp("the kernel does not say where pages are (\(refusal.name))") }
    return Array(repeating: -1, count: addresses.count)
  }

  /// Makes sure that a buffer is where it is to be.
  ///
  /// - Returns: whether it is, as far as the kernel tells.
  func settle(_ buffer: borrowing PageBuffer) -> Bool {
    guard buffer.settle() == false else { return true }
    let node = placement.places[buffer.part].node
    giveUp("node \(node) has no more memory: one of its buffers is on another node")
    return false
  }
}

/// A reader's own node.
struct ReaderNode: Sendable {
  let placing: NodePlacing
  /// Its place in the placement.
  let place: Int
  /// Its node's place among the nodes that hold memory.
  let slot: Int

  init?(_ placing: NodePlacing?, place: Int) {
    guard let placing else { return nil }
    self.placing = placing
    self.place = place
    slot = placing.placement.nodes.firstIndex(of: placing.placement.places[place].node) ?? -1
  }
}

/// How much was read of what a node holds, in bytes.
struct NodeBytes: Hashable, Sendable {
  /// By a reader on that node, into a buffer on it.
  var local: UInt64 = 0
  /// By another, or into another.
  var remote: UInt64 = 0

  static func += (total: inout NodeBytes, other: NodeBytes) {
    total.local += other.local
    total.remote += other.remote
  }
}

extension Array where Element == NodeBytes {
  /// Adds what a reader has read.
  ///
  /// - Parameters:
  ///   - held: the plan's bytes by the slots of the nodes that hold them.
  ///   - byteCount: how many of them were there.
  ///   - slot: of the reader and its buffer; nil where the two are not on one node.
  mutating func add(_ held: [UInt64], read byteCount: Int, at slot: Int?) {
    if count < held.count { self += Array(repeating: NodeBytes(), count: held.count - count) }
    // Of what has vanished, nobody knows where it was.
    var vanished = held.reduce(0, +) - Swift.min(held.reduce(0, +), UInt64(byteCount))
    for index in held.indices.sorted(by: { held[$0] > held[$1] }) where held[index] > 0 {
      let gone = Swift.min(vanished, held[index])
      vanished -= gone
      if index == slot {
        self[index].local += held[index] - gone
      } else {
        self[index].remote += held[index] - gone
      }
    }
  }
}

/// A source that can tell which nodes hold pages.
protocol LocatedSource: PageSource {
  /// Tells of the pages of one owner; nil where nobody knows.
  func locator(of owner: PageOwner) -> (any PageLocator)?
}

/// Tells which nodes hold pages.
protocol PageLocator: Sendable {
  /// - Parameter nodes: becomes as long as `addresses`; less than 0 for a page of which it is not known.
  /// - Returns: nil, or why it cannot be told.
  func find(_ addresses: [UInt64], into nodes: inout [Int32]) -> SystemErrno?
}
