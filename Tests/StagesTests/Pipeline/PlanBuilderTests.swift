import CSluiceLinux
import SluicePipeline
import Testing

@testable import Sluice

@Suite("Plan builder") struct PlanBuilderTests {
  private static let pageSize: UInt64 = 4096

  /// Rings of buffers of four pages each.
  private static func ring(_ count: Int = 8) throws -> BufferRing {
    try BufferRing(
      layout: BufferLayout(count: count, chunkBytes: 4 * Int(pageSize), pageSize: Int(pageSize)))
  }

  private static func pages(_ first: UInt64, _ count: UInt64) -> MemoryRun {
    MemoryRun(address: first * pageSize, length: count * pageSize)
  }

  /// Adds runs, and collects the plans: for each, its runs to be read and those that are the parent's, in pages.
  private static func plans(
    _ runs: [(MemoryRun, PlanBuilder.Origin)]
  ) async throws -> [(sequence: UInt64, read: [Range<UInt64>], parent: [Range<UInt64>])] {
    let ring = try ring()
    var builder = PlanBuilder()
    builder.begin(.image(pagemap: "a"))
    var plans: [(sequence: UInt64, read: [Range<UInt64>], parent: [Range<UInt64>])] = []
    func note(_ plan: consuming ReadPlan) {
      func ranges(_ table: UnsafeMutableBufferPointer<MemoryRun>, _ count: Int) -> [Range<UInt64>] {
        unsafe table[..<count].map { $0.address / pageSize..<($0.address + $0.length) / pageSize }
      }
      unsafe plans.append(
        (
          plan.sequence, ranges(plan.buffer.runTable, plan.buffer.runCount),
          ranges(plan.buffer.listTable, plan.buffer.listCount)
        ))
    }
    for (run, origin) in runs {
      var rest = run
      while true {
        let need = builder.add(&rest, from: origin)
        if need == .nothing { break }
        if need == .room, let plan = builder.takePlan() { note(plan) }
        if need == .buffer {
          let buffer = await ring.take()
          guard let buffer else { break }
          builder.give(buffer)
        }
      }
    }
    if let plan = builder.takePlan() { note(plan) }
    #expect(builder.nextSequence == UInt64(plans.count))
    return plans
  }

  @Test func `a run that is longer than a buffer is cut, and plans are numbered`() async throws {
    let plans = try await Self.plans([(Self.pages(10, 9), .data)])
    #expect(plans.map(\.sequence) == [0, 1, 2])
    #expect(plans.map(\.read) == [[10..<14], [14..<18], [18..<19]])
  }

  @Test func `runs that touch are joined, and others share a buffer`() async throws {
    let plans = try await Self.plans([
      (Self.pages(10, 1), .data), (Self.pages(11, 1), .data), (Self.pages(20, 1), .data),
    ])
    #expect(plans.map(\.read) == [[10..<12, 20..<21]])
  }

  @Test func `pages of the parent take no room for bytes`() async throws {
    let plans = try await Self.plans([
      (Self.pages(10, 2), .data), (Self.pages(12, 100), .parent), (Self.pages(112, 2), .data),
      (Self.pages(200, 1), .parent),
    ])
    #expect(plans.map(\.read) == [[10..<12, 112..<114]])
    #expect(plans.map(\.parent) == [[12..<112, 200..<201]])
  }

  @Test func `a buffer lists no more runs than its table has room for`() async throws {
    let plans = try await Self.plans((0..<6).map { (Self.pages(10 + 2 * $0, 1), .parent) })
    #expect(plans.map(\.parent.count) == [4, 2])
  }

  @Test func `nothing is no plan`() async throws {
    #expect(try await Self.plans([]).isEmpty)
    #expect(try await Self.plans([(Self.pages(10, 0), .data)]).isEmpty)
  }
}
