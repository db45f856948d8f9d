import CSluiceLinux
import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice

@Suite("Page order") struct PageOrderTests {
  private static let pageSize = 4096
  private static let (a, b) = (PageOwner.image(pagemap: "a"), PageOwner.image(pagemap: "b"))

  private static func ring(_ count: Int) throws -> BufferRing {
    try BufferRing(layout: BufferLayout(count: count, chunkBytes: pageSize, pageSize: pageSize))
  }

  private static func chunk(
    _ sequence: UInt64, of owner: PageOwner = a, in ring: BufferRing
  ) async throws -> PageMessage {
    guard let buffer = await ring.take() else { throw TestFailure("a buffer is free") }
    return .chunk(
      PageChunk(ReadPlan(sequence: sequence, owner: owner, buffer: buffer), pageSize: pageSize))
  }

  /// All messages that are in order by now, in words.
  private static func drain(_ order: inout PageOrder) -> [String] {
    var said: [String] = []
    while let message = order.removeNext() {
      switch consume message {
      case .begin(let owner, _): said.append("begin \(owner)")
      case .chunk(let chunk): said.append("\(chunk.sequence) of \(chunk.owner)")
      case .end(let owner, _): said.append("end \(owner)")
      }
    }
    return said
  }

  @Test func `chunks that come early wait for those before them`() async throws {
    let ring = try Self.ring(4)
    var order = PageOrder(capacity: 4)
    order.insert(.begin(Self.a, before: 0))
    #expect(Self.drain(&order) == ["begin a"])
    for sequence: UInt64 in [2, 1] {
      order.insert(try await Self.chunk(sequence, in: ring))
      #expect(Self.drain(&order) == [])
    }
    order.insert(try await Self.chunk(0, in: ring))
    #expect(Self.drain(&order) == ["0 of a", "1 of a", "2 of a"])
    #expect(order.chunksRemoved == 3)
    #expect(ring.takenCount == 0)
  }

  @Test func `the end of a process comes after its last chunk, however early it is told`() async throws {
    let ring = try Self.ring(4)
    var order = PageOrder(capacity: 4)
    order.insert(.begin(Self.a, before: 0))
    order.insert(.end(Self.a, before: 1))
    order.insert(.begin(Self.b, before: 1))
    order.insert(.end(Self.b, before: 2))
    order.insert(try await Self.chunk(1, of: Self.b, in: ring))
    #expect(Self.drain(&order) == ["begin a"])
    order.insert(try await Self.chunk(0, in: ring))
    #expect(Self.drain(&order) == ["0 of a", "end a", "begin b", "1 of b", "end b"])
  }

  @Test func `a process without pages has a beginning and an end`() {
    var order = PageOrder(capacity: 1)
    order.insert(.begin(Self.a, before: 0))
    order.insert(.end(Self.a, before: 0))
    order.insert(.begin(Self.b, before: 0))
    order.insert(.end(Self.b, before: 0))
    #expect(Self.drain(&order) == ["begin a", "end a", "begin b", "end b"])
  }

  @Test func `what is too far ahead of a chunk that was lost is dropped, and its buffer is free`()
    async throws
  {
    let ring = try Self.ring(3)
    var order = PageOrder(capacity: 2)
    order.insert(try await Self.chunk(1, in: ring))
    order.insert(try await Self.chunk(2, in: ring))
    #expect(ring.takenCount == 1)
    #expect(Self.drain(&order) == [])
  }
}
