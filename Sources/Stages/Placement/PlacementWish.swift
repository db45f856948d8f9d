internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// What a run is to have of readers, and where, on the machine that it is on.
struct PlacementWish: Sendable {
  /// Nil where there is one node, or nothing is to be placed.
  let placement: Placement?
  /// All of the readers.
  let readers: Int
  private let topology: Topology

  /// - Throws: `SluiceError` with `invalidArgument` where a node is named that readers cannot be on.
  init(_ configuration: PreDump.Configuration, on topology: Topology) throws(SluiceError) {
    self.topology = topology
    let isNamed = !configuration.readersOnNodes.isEmpty
    guard configuration.numa == .automatic else {
      (placement, readers) = (nil, configuration.readers)
      return
    }
    do throws(Placement.NoSuchNode) {
      (placement, readers) = try topology.placement(
        of: isNamed ? .onNodes(configuration.readersOnNodes) : .onEach(configuration.readers))
    } catch {
      throw SluiceError(
        .invalidArgument,
        "node \(error.number) cannot have readers; these can: \(error.usable.map(String.init).joined(separator: ", "))"
      )
    }
  }

  /// What each place is to have of all buffers, in proportion to what its node holds of the processes' memory; and some
  /// more, for the processes may move.
  func shares(of processes: [TargetProcess]) -> [Double] {
    guard let placement else { return [1] }
    var held = Array(repeating: 0.0, count: placement.places.count)
    for process in processes.prefix(Self.mostProcesses) {
      // It is no more than an estimate: what is wrong with a process, its walk tells.
      for (node, bytes) in (try? PageNodes(of: process).estimate()) ?? [:] {
        if let home = placement.homes[node] { held[home] += Double(bytes) }
      }
    }
    let total = held.reduce(0, +)
    guard total > 0 else { return held.map { _ in 1 } }
    return held.map { Self.shareByHolding * $0 / total + (1 - Self.shareByHolding) / Double(held.count) }
  }

  /// More would tell little.
  private static let mostProcesses = 16
  private static let shareByHolding = 0.75

  /// The processors near the device that is written to.
  ///
  /// - Parameters:
  ///   - filesystem: the number of the one that the images are on; nil where there are none.
  ///   - interface: the network interface towards a page server; nil where there is none.
  /// - Returns: the node and its processors; nil where nothing is placed, or /sys does not say.
  func writer(
    filesystem: UInt64?, interface: @autoclosure () -> String?
  ) -> (node: Int, processors: [UInt32])? {
    guard placement != nil, let sys = try? DirectoryHandle(path: "/sys") else { return nil }
    let node =
      interface().map { Topology.node(ofInterface: $0, sys) }
      ?? filesystem.flatMap { Topology.node(ofFilesystem: $0, sys) }
    guard let node, let found = topology.nodes.first(where: { $0.number == node }), !found.processors.isEmpty
    else {
      return nil
    }
    return (node, found.processors)
  }
}
