import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite struct PlacementTests {
  private static let two = Placement(
    places: [
      .init(node: 0, processors: [0, 2, 4, 6], readers: 2),
      .init(node: 1, processors: [1, 3, 5, 7], readers: 2),
    ], homes: [0: 0, 1: 1])

  @Test func `one node has no placement`() async throws {
    for topology in [Topology.single, try await RecordedSys.one.topology()] {
      let (placement, readers) = try topology.placement(of: .onEach(3))
      #expect(placement == nil && readers == 3)
      let (named, number) = try topology.placement(of: .onNodes([0: 2]))
      #expect(named == nil && number == 2)
      #expect(throws: Placement.NoSuchNode(number: 1, usable: [0])) {
        try topology.placement(of: .onNodes([0: 2, 1: 4]))
      }
    }
  }

  @Test func `each of two nodes gets readers`() async throws {
    let (placement, readers) = try await RecordedSys.two.topology().placement(of: .onEach(2))
    #expect(placement == Self.two)
    #expect(readers == 4)
    #expect(
      "\(Self.two)" == "node 0: 2 readers on processors 0,2,4,6; node 1: 2 readers on processors 1,3,5,7")
  }

  @Test func `a machine of which a cpuset leaves one node has no placement`() async throws {
    for topology in [
      try await RecordedSys.two.topology(processors: [1, 3]), try await RecordedSys.two.topology(nodes: [0]),
      try await RecordedSys.two.topology(processors: [0], nodes: [1]),
    ] {
      let (placement, readers) = try topology.placement(of: .onEach(2))
      #expect(placement == nil && readers == 2)
    }
  }

  @Test func `what nodes without readers hold is read by those of the nearest`() async throws {
    let (odd, _) = try await RecordedSys.odd.topology().placement(of: .onEach(1))
    #expect(odd?.places.map(\.node) == [0, 8])
    // Node 1 has no memory, node 3 no processors.
    #expect(odd?.homes == [0: 0, 3: 1, 8: 1])
    #expect(odd.map { "\($0)" }?.hasSuffix("on processors 4-5, also for what node 3 holds") == true)
    let (eight, readers) = try await RecordedSys.eight.topology().placement(of: .onNodes([1: 3, 6: 1, 7: 0]))
    #expect(readers == 4)
    #expect(eight?.places.map(\.node) == [1, 6])
    #expect(eight?.homes == [0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 1, 7: 1])
  }

  @Test func `a node that cannot have readers is refused`() async throws {
    let topology = try await RecordedSys.odd.topology()
    for number in [1, 2, 3, 9] {
      #expect(throws: Placement.NoSuchNode(number: number, usable: [0, 8])) {
        try topology.placement(of: .onNodes([0: 1, number: 1]))
      }
    }
  }

  @Test func `lists numbers as the kernel does`() {
    #expect(Placement.list([]) == "")
    #expect(Placement.list([3]) == "3")
    #expect(Placement.list([0, 1, 2, 8, 10, 11]) == "0-2,8,10-11")
  }
}
