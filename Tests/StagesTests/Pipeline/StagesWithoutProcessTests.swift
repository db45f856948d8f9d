import Glibc
import Logging
import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice

/// All stages between a source and a sink that are no process and no directory.
@Suite("Stages without a process", .timeLimit(.minutes(5)))
struct StagesWithoutProcessTests {
  private static let pageSize: UInt64 = 4096

  /// Memory that is made up: a page holds its own address.
  private struct Source: PageSource {
    /// Of each owner, the pages, and whether they are the parent's.
    let owners: [(owner: PageOwner, runs: [(run: PageRun, isParent: Bool)])]
    /// Pages at these addresses have vanished.
    var vanished: Set<UInt64> = []
    var failing: PageOwner?
    var readError: (any Error)?
    var log: OrderLog?

    func walk(_ plans: inout PlanWriter) async throws {
      for (owner, runs) in owners {
        try await plans.begin(owner)
        for (run, isParent) in runs {
          if isParent { try await plans.leaveToParent(run) } else { try await plans.read(run) }
        }
        try await plans.end(owner)
      }
    }

    func makeReader() -> any PageSourceReader { Reader(of: self) }

    func failure(of owner: PageOwner) -> SluiceError? {
      owner == failing ? SluiceError(.targetGone, "it has ended") : nil
    }
  }

  private final class Reader: PageSourceReader {
    private let source: Source
    init(of source: Source) { self.source = source }

    func fill(_ plan: inout ReadPlan) throws {
      if let log = source.log {
        // A sink that does not wait has time enough to begin.
        usleep(2000)
        log.note(.read)
      }
      if let error = source.readError { throw error }
      plan.fillRuns { run, room in
        var count = 0
        while count < room.byteCount, !source.vanished.contains(run.address + UInt64(count)) {
          room.storeBytes(of: run.address + UInt64(count), toByteOffset: count, as: UInt64.self)
          count += Int(pageSize)
        }
        return count
      }
    }
  }

  private static func owner(_ pid: Int32) -> PageOwner {
    .process(ProcessIdentity(pid: pid, namespacePid: pid, startTime: 1))
  }

  private static func pages(_ first: UInt64, _ count: UInt64) -> PageRun {
    PageRun(address: first * pageSize, byteCount: count * pageSize)
  }

  /// Runs the stages, and commits or aborts as a run does.
  private static func copy(
    _ source: Source, to sink: any PageSink, readers: Int = 1, budget: Int = 1 << 20,
    standsStill: Bool = false
  ) async throws -> StageCounts {
    let runtime = SluiceRuntime(memoryBudget: budget)
    let result = await Result { () async throws(SluiceError) in
      try await runtime.coordinate { () async throws(SluiceError) in
        let lease = try await runtime.acquire(
          RuntimeNeeds(
            shares: [], limits: sink.limits, readers: standsStill ? 1 : readers, queueDepth: 1,
            writeEngine: .threads,
            registersBuffers: false, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
          ))
        let result = await Result { () async throws(SluiceError) in
          let standing = StandingReaders(
            readers: try lease.resources.readers(readers), processCount: source.owners.count)
          return try await Stages(
            from: source, to: sink, by: lease, standing: standsStill ? standing : nil,
            progress: ProgressFeed(), observer: NoObserver()
          ).run()
        }
        if case .failure = result { await sink.abort() }
        await runtime.release(lease, isReusable: true)
        return try result.get()
      }
    }
    await runtime.shutdown()
    let counts = try result.get()
    try await sink.commit(
      RunManifest(
        entries: counts.sink.order.map {
          RunManifest.Entry(owner: $0, pagesWritten: counts.sink.owners[$0]?.pagesWritten ?? 0, failure: nil)
        }, pageSize: Int(pageSize), images: nil))
    return counts
  }

  private static func expectRight(_ memory: MemorySink.Memory?, _ addresses: Set<UInt64>) {
    #expect(Set((memory?.pages ?? [:]).keys) == addresses)
    for (address, bytes) in memory?.pages ?? [:] {
      let held = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
      #expect(held == address)
    }
  }

  /// Where the source stands still, the sink gets nothing before all is read or the buffers run out, as they do here.
  @Test(arguments: [(1, false), (3, false), (1, true), (3, true)])
  func `every page arrives once, at its place, with its process`(
    readers: Int, standsStill: Bool
  ) async throws {
    let sink = MemorySink()
    let (a, b, none) = (Self.owner(1), Self.owner(2), Self.owner(3))
    let counts = try await Self.copy(
      Source(owners: [
        (a, (0..<300).map { (Self.pages(16 + 5 * $0, 3), false) }), (none, []),
        (b, [(Self.pages(16, 2000), false), (Self.pages(5000, 7), true)]),
      ]), to: sink, readers: readers, standsStill: standsStill)
    let memory = await sink.memory
    Self.expectRight(
      memory[a], Set((0..<300).flatMap { run in (0..<3).map { (16 + 5 * UInt64(run) + $0) * Self.pageSize } })
    )
    Self.expectRight(memory[b], Set((16..<2016).map { $0 * Self.pageSize }))
    #expect(memory[b]?.parentRuns == [Self.pages(5000, 7)])
    #expect(memory[none] == MemorySink.Memory())
    #expect(counts.sink.order == [a, none, b])
    #expect(counts.sink.owners[b]?.pagesWritten == 2000)
  }

  @Test func `pages that vanish shorten what is written`() async throws {
    let sink = MemorySink()
    let a = Self.owner(1)
    _ = try await Self.copy(
      Source(
        owners: [(a, [(Self.pages(16, 4), false), (Self.pages(30, 2), false)])],
        vanished: [18 * Self.pageSize]), to: sink)
    Self.expectRight(await sink.memory[a], Set([16, 17, 30, 31].map { $0 * Self.pageSize }))
  }

  @Test func `a process that fails is told to the sink, and the others are complete`() async throws {
    let sink = MemorySink()
    let (a, b) = (Self.owner(1), Self.owner(2))
    _ = try await Self.copy(
      Source(owners: [(a, [(Self.pages(16, 4), false)]), (b, [(Self.pages(16, 4), false)])], failing: a),
      to: sink)
    #expect(await sink.memory[a] == nil)
    #expect(await sink.memory[b]?.pages.count == 4)
  }

  private struct Odd: Error {}

  @Test(arguments: [false, true])
  func `an error of a source or a sink ends the run, and nothing is kept`(standsStill: Bool) async throws {
    let sink = MemorySink()
    let owners = [(owner: Self.owner(1), runs: [(run: Self.pages(16, 3000), isParent: false)])]
    await #expect(throws: SluiceError.self) {
      try await Self.copy(Source(owners: owners, readError: Odd()), to: sink, standsStill: standsStill)
    }
    #expect(await sink.memory.isEmpty)
    let failing = FailingSink()
    let error = await #expect(throws: SluiceError.self) {
      try await Self.copy(Source(owners: owners), to: failing, standsStill: standsStill)
    }
    #expect(error?.message.contains("Odd") == true)
    #expect(await failing.isAborted)
  }

  /// Of a source that stands still, the readers have all there is before the sink gets any, as far as buffers hold it.
  @Test func `a sink waits until all is read that stands still`() async throws {
    let log = OrderLog()
    let runs = (0..<400).map { (run: Self.pages(16 + 2 * $0, 1), isParent: false) }
    _ = try await Self.copy(
      Source(owners: [(Self.owner(1), runs)], log: log), to: LoggingSink(log: log), readers: 2,
      budget: 8 << 20, standsStill: true)
    let events = log.events.withLock { $0 }
    let lastRead = try #require(events.lastIndex(of: .read))
    let firstBegin = try #require(events.firstIndex(of: .begin))
    #expect(events.count { $0 == .read } >= 10 && lastRead < firstBegin)
    #expect(events.contains(.write))
  }

  /// It may keep all buffers but one, which then must be enough to go on with.
  @Test(.timeLimit(.minutes(5)), arguments: [1, 3])
  func `a sink that keeps nearly all buffers until more comes gets more`(readers: Int) async throws {
    let sink = KeepingSink()
    let owners = [(owner: Self.owner(1), runs: [(run: Self.pages(16, 3000), isParent: false)])]
    _ = try await Self.copy(Source(owners: owners), to: sink, readers: readers, budget: 2 << 20)
    #expect(await sink.bytes == 3000 * Int(Self.pageSize))
    #expect(await sink.most > 4)
  }

  private actor KeepingSink: PageSink {
    nonisolated var limits: SinkLimits {
      var limits = SinkLimits()
      limits.preferredChunkBytes = 64 << 10
      limits.mostChunks = 20
      return limits
    }
    private var kept: [KeptChunk] = []
    private(set) var (bytes, most) = (0, 0)

    private final class KeptChunk: Sendable {
      let chunk: PageChunk
      init(_ chunk: consuming PageChunk) { self.chunk = chunk }
    }

    func begin(_ owner: PageOwner, expectedBytes: UInt64) {}
    func write(_ chunk: consuming PageChunk) {
      bytes += chunk.byteCount
      // There are three more, and a walk that waited for a quarter of all would wait for ever.
      if kept.count == 20 { kept.removeAll() }
      kept.append(KeptChunk(chunk))
      most = max(most, kept.count)
    }
    func end(_ owner: PageOwner, failure: SluiceError?) { kept = [] }
    func commit(_ manifest: RunManifest) {}
    func abort() { kept = [] }
  }

  /// In which order things were done.
  private final class OrderLog: Sendable {
    enum Event: Sendable { case read, begin, write }
    let events = Locked<[Event]>([])
    func note(_ event: Event) { events.withLock { $0.append(event) } }
  }

  private struct LoggingSink: PageSink {
    let log: OrderLog
    var limits: SinkLimits {
      var limits = SinkLimits()
      limits.preferredChunkBytes = 4 * Int(pageSize)
      return limits
    }
    func begin(_ owner: PageOwner, expectedBytes: UInt64) { log.note(.begin) }
    func write(_ chunk: consuming PageChunk) { log.note(.write) }
    func end(_ owner: PageOwner, failure: SluiceError?) {}
    func commit(_ manifest: RunManifest) {}
    func abort() {}
  }

  /// Takes two chunks, and fails.
  private actor FailingSink: PageSink {
    nonisolated let limits = SinkLimits()
    private var chunks = 0
    private(set) var isAborted = false

    func begin(_ owner: PageOwner, expectedBytes: UInt64) {}
    func write(_ chunk: consuming PageChunk) throws {
      chunks += 1
      if chunks > 2 { throw Odd() }
    }
    func end(_ owner: PageOwner, failure: SluiceError?) {}
    func commit(_ manifest: RunManifest) { Issue.record("what has failed is not committed") }
    func abort() { isAborted = true }
  }
}
