import CSluiceLinux
import Foundation
import Logging
import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice

/// Stages with places for two nodes. Both have their memory from node 0, which every machine has that knows nodes; what is
/// on which node is made up.
@Suite("Stages on nodes", .timeLimit(.minutes(5)), .enabled(if: Kernel.knowsNodes))
struct PlacedStagesTests {
  private static let pageSize: UInt64 = 4096

  /// Memory that is made up: a page holds its own address.
  private final class Source: LocatedSource {
    static let owner = PageOwner.process(ProcessIdentity(pid: 1, namespacePid: 1, startTime: 1))
    let runs: [PageRun]
    let node: @Sendable (UInt64) -> Int32
    let errno: Int32
    let readers = Locked<[String: UInt64]>([:])

    init(_ runs: [PageRun], errno: Int32 = 0, node: @escaping @Sendable (UInt64) -> Int32) {
      (self.runs, self.errno, self.node) = (runs, errno, node)
    }

    func walk(_ plans: inout PlanWriter) async throws {
      let owner = Self.owner
      try await plans.begin(owner)
      for run in runs { try await plans.read(run) }
      try await plans.end(owner)
    }

    func makeReader() -> any PageSourceReader { Reader(of: self) }
    func locator(of owner: PageOwner) -> (any PageLocator)? { Locator(source: self) }
  }

  private struct Locator: PageLocator {
    let source: Source

    func find(_ addresses: [UInt64], into nodes: inout [Int32]) -> SystemErrno? {
      nodes = addresses.map { source.node($0 / pageSize) }
      return source.errno == 0 ? nil : SystemErrno(code: source.errno)
    }
  }

  private final class Reader: PageSourceReader {
    private let source: Source
    init(of source: Source) { self.source = source }

    func fill(_ plan: inout ReadPlan) throws {
      plan.fillRuns { run, room in
        for offset in stride(from: 0, to: room.byteCount, by: Int(pageSize)) {
          room.storeBytes(of: run.address + UInt64(offset), toByteOffset: offset, as: UInt64.self)
        }
        return room.byteCount
      }
      let (name, byteCount) = ("\(plan.buffer.part)", UInt64(plan.byteCount))
      source.readers.withLock { $0[name, default: 0] += byteCount }
    }
  }

  private static func placement(readers: Int = 1, memory: (Int, Int) = (0, 0)) -> Placement {
    Placement(
      places: [
        .init(node: memory.0, processors: [0], readers: readers),
        .init(node: memory.1, processors: [0], readers: readers),
      ], homes: [0: 0, 1: 1])
  }

  private static func needs(_ sink: any PageSink, _ placement: Placement?, shares: [Double]) -> RuntimeNeeds {
    RuntimeNeeds(
      shares: [], limits: sink.limits, readers: placement?.readers ?? 1, queueDepth: 1, writeEngine: .threads,
      registersBuffers: false, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
      placement: placement, nodeShares: shares)
  }

  /// Runs the stages as often as asked.
  private static func copy(
    _ source: Source, _ placement: Placement, budget: Int = 4 << 20, times: Int = 1,
    shares: [Double] = [1, 1], stopReaders: Int? = nil
  ) async throws -> (reports: [PreDumpReport.NUMA], pages: Int) {
    let runtime = SluiceRuntime(memoryBudget: budget)
    var reports: [PreDumpReport.NUMA] = []
    var pages = 0
    for time in 0..<times {
      let sink = MemorySink()
      let report = try await runtime.coordinate { () async throws(SluiceError) in
        let lease = try await runtime.acquire(
          needs(sink, placement, shares: time % 2 == 0 ? shares : shares.reversed()))
        let result = await Result { () async throws(SluiceError) in
          let standing = try stopReaders.map { (count) throws(SluiceError) in
            StandingReaders(readers: try lease.resources.readers(count), processCount: 1)
          }
          return try await Stages(
            from: source, to: sink, by: lease, standing: standing, progress: ProgressFeed(),
            observer: NoObserver()
          ).run()
        }
        await runtime.release(lease, isReusable: true)
        let counts = try result.get()
        guard let placing = lease.placing else { throw SluiceError(.system, "there is no placement") }
        return PreDumpReport.NUMA(
          placing, ring: lease.ring, read: counts.readers.nodes, pageSize: UInt64(pageSize))
      }
      reports.append(report)
      await sink.commit(
        RunManifest(
          entries: [.init(owner: Source.owner, pagesWritten: 0, failure: nil)], pageSize: Int(pageSize),
          images: nil))
      let memory = await sink.memory.values.first
      pages += memory?.pages.count ?? 0
      for (address, bytes) in memory?.pages ?? [:] {
        let held = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
        #expect(held == address)
      }
    }
    await runtime.shutdown()
    return (reports, pages)
  }

  private static func pages(_ first: UInt64, _ count: UInt64) -> PageRun {
    PageRun(address: first * pageSize, byteCount: count * pageSize)
  }

  @Test(arguments: [1, 3])
  func `pages are read where they are, and arrive in order`(readers: Int) async throws {
    let source = Source([Self.pages(16, 3000), Self.pages(5000, 1)]) { Int32($0 / 512 % 2) }
    let (reports, pages) = try await Self.copy(source, Self.placement(readers: readers))
    #expect(pages == 3001)
    #expect(source.readers.withLock { $0.count } == 2)
    let report = try #require(reports.first)
    #expect(report.givenUp == nil)
    #expect(report.nodes.map(\.readers) == [readers, 0])
    #expect(report.nodes.reduce(0) { $0 + $1.pagesLocal + $1.pagesRemote } == 3001)
    #expect(report.pagesUnknown == 0 && report.pagesAsked > 0 && report.askCalls > 0)
  }

  @Test(arguments: [1 << 20, 4 << 20])
  func `memory of one node leaves the other's buffers alone`(budget: Int) async throws {
    let source = Source([Self.pages(16, 4000)]) { _ in 1 }
    let (_, pages) = try await Self.copy(source, Self.placement(), budget: budget)
    #expect(pages == 4000)
    #expect(source.readers.withLock { $0 } == ["1": 4000 * Self.pageSize])
  }

  /// Of a source that stands still, what is read waits in the buffers: where those of one node are all out, and others are
  /// not, the stages behind must begin to give them back.
  @Test(.timeLimit(.minutes(15)), arguments: [1, 2, 5], [true, false])
  func `what stands still is read on both nodes, with any number of readers`(
    readers: Int, isOfOne: Bool
  ) async throws {
    let source = Source([Self.pages(16, 4000)]) { isOfOne ? 1 : Int32($0 / 512 % 2) }
    let (_, pages) = try await Self.copy(source, Self.placement(), budget: 1 << 20, stopReaders: readers)
    #expect(pages == 4000)
    #expect(source.readers.withLock { Set($0.keys) } == (isOfOne ? ["1"] : ["0", "1"]))
  }

  @Test func `rounds go on with the same, also where the shares change`() async throws {
    let source = Source([Self.pages(16, 2000)]) { Int32($0 / 64 % 2) }
    let (reports, pages) = try await Self.copy(source, Self.placement(), times: 5, shares: [0.9, 0.1])
    #expect(pages == 10000)
    #expect(reports.allSatisfy { $0.givenUp == nil })
  }

  @Test func `where the kernel does not tell, it goes on with all buffers, and says so`() async throws {
    let source = Source([Self.pages(16, 2000)], errno: 1) { _ in 0 }
    let (reports, pages) = try await Self.copy(source, Self.placement(), times: 2)
    #expect(pages == 4000)
    #expect(
      reports.map(\.givenUp) == Array(repeating: "the kernel does not say where pages are (EPERM)", count: 2)
    )
    // What was refused once is not asked for again.
    #expect(reports[1].askCalls == 0)
    #expect(reports[0].askCalls == 1)
    #expect(reports[0].pagesUnknown == 2000)
  }

  @Test func `where a node gives no memory, it goes on without, and says so`() async throws {
    let source = Source([Self.pages(16, 2000)]) { _ in 1 }
    let (reports, pages) = try await Self.copy(source, Self.placement(memory: (0, 1000)), times: 2)
    #expect(pages == 4000)
    #expect(
      reports.map(\.givenUp)
        == Array(repeating: "the kernel does not place memory on node 1000 (EINVAL)", count: 2))
    #expect(source.readers.withLock { $0 } == ["0": 4000 * Self.pageSize])
  }

  @Test func `a budget too small for buffers on all nodes does without`() async throws {
    let places = (0..<8).map { _ in Placement.Place(node: 0, processors: [0], readers: 1) }
    let placement = Placement(places: places, homes: [0: 0, 1: 1])
    let source = Source([Self.pages(16, 500)]) { _ in 1 }
    let (reports, pages) = try await Self.copy(source, placement, budget: 512 << 10)
    #expect(pages == 500)
    #expect(reports[0].givenUp?.contains("too small") == true)
  }
}

extension Kernel {
  /// Whether memory can be placed on node 0.
  static var knowsNodes: Bool { FileManager.default.fileExists(atPath: "/sys/devices/system/node/node0") }
}
