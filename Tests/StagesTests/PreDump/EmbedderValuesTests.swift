import Foundation
import Sluice
import SluiceFoundation
import SluiceTestSupport
import Testing

/// No value that a program can give to the public API traps: it works, or is an error.
@Suite("Values that an embedder may give", .timeLimit(.minutes(10))) struct EmbedderValuesTests {
  private static let numbers = [Int.min, -1, 0, 1, Int.max]
  private static let times = [
    Duration.zero, .seconds(-1), .nanoseconds(1), .seconds(Int64.max), .seconds(Int64.max) * 10,
    .seconds(Int64.min),
  ]

  /// Copies a process that has little, into nothing.
  private func copy(
    _ sink: any PageSink = NullSink(), _ change: (inout PreDump.Configuration) -> Void
  ) async throws -> SluiceError.Code? {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      var configuration = PreDump.Configuration(pid: target.pid)
      change(&configuration)
      do throws(SluiceError) {
        _ = try await PreDump(configuration, into: sink).run()
        return nil
      } catch {
        return error.code
      }
    }
  }

  @Test(arguments: numbers) func `numbers of a configuration`(number: Int) async throws {
    let isRight = number == 1 ? nil : SluiceError.Code.invalidArgument
    #expect(try await copy { $0.readers = number } == isRight)
    #expect(try await copy { $0.queueDepth = number } == isRight)
    #expect(try await copy { $0.stopReaders = number } == isRight)
    #expect(try await copy { $0.memoryBudget = number } == (number == .max ? nil : .invalidArgument))
    #expect(try await copy { $0.readersOnNodes = [number: 1] } == (number == 0 ? nil : .invalidArgument))
    // 1 is a process.
    guard number != 1 else { return }
    let pid = Int32(truncatingIfNeeded: number)
    let refused = await #expect(throws: SluiceError.self) {
      try await PreDump(.init(pid: pid), into: NullSink()).run()
    }
    #expect(refused?.code == .invalidArgument)
  }

  @Test(arguments: times) func `times of a configuration`(time: Duration) async throws {
    let isLittle = time == .nanoseconds(1)
    #expect(try await copy { $0.stopTimeLimit = time } == (isLittle ? nil : .invalidArgument))
    #expect(try await copy { $0.readTimeLimit = time } == .invalidArgument)
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        var policy = RoundPolicy(rounds: 2)
        let configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/images")
        func codeOf(_ policy: RoundPolicy) async -> SluiceError.Code? {
          do {
            try await withPreDumpRounds(configuration, policy: policy) { rounds in
              for try await _ in rounds { break }
            }
            return nil
          } catch { return SluiceError(of: error).code }
        }
        policy.maxStop = time
        #expect(await codeOf(policy) == (isLittle ? nil : .invalidArgument))
        policy.maxStop = nil
        policy.maxTime = time
        let mayBe = time >= .zero
        let code = await codeOf(policy)
        #expect(mayBe ? code != .invalidArgument : code == .invalidArgument)
      }
      var check = ContentsCheck(directory: "/nowhere", pid: target.pid)
      check.stopTimeLimit = time
      let wrong = check
      await #expect(throws: SluiceError.self) { try await wrong.run() }
    }
    var server = PageServer.Configuration(directory: "/nowhere")
    server.idleTimeLimit = time
    #expect(throws: SluiceError.self) { try PageServer(server) }
    #expect(try encoded(Microseconds(wrappedValue: time)).isEmpty == false)
    #expect(try encoded(Seconds(wrappedValue: time)).isEmpty == false)
  }

  private func encoded(_ value: some Encodable) throws -> String {
    String(decoding: try JSONEncoder().encode([value]), as: UTF8.self)
  }

  private struct LimitedSink: PageSink {
    let limits: SinkLimits
    func begin(_ owner: PageOwner, expectedBytes: UInt64) async {}
    func write(_ chunk: consuming PageChunk) async {}
    func end(_ owner: PageOwner, failure: SluiceError?) async {}
    func commit(_ manifest: RunManifest) async {}
    func abort() async {}
  }

  @Test(arguments: numbers) func `limits of a sink`(number: Int) async throws {
    let isRight = number > 0 ? nil : SluiceError.Code.invalidArgument
    var (chunks, many) = (SinkLimits(), SinkLimits())
    (chunks.preferredChunkBytes, many.mostChunks) = (number, number)
    #expect(try await copy(LimitedSink(limits: chunks)) { _ in } == isRight)
    #expect(try await copy(LimitedSink(limits: many)) { _ in } == isRight)
  }

  @Test(arguments: numbers) func `budgets of other work`(number: Int) async throws {
    try await withTemporaryDirectory { directory in
      var flatten = FlattenImages(directory: "\(directory)/nothing", output: "\(directory)/whole")
      flatten.memoryBudget = number
      let flattening = flatten
      await #expect(throws: SluiceError.self) { try await flattening.run() }
      var compression = CoreCompression()
      (compression.level, compression.threads, compression.memoryBudget) = (number, number, number)
      let descriptor = unsafe open("\(directory)/core", O_RDWR | O_CREAT, 0o600)
      defer { close(descriptor) }
      let compressing = compression
      _ = try? await compressing.run(from: descriptor, to: descriptor, inputName: "core", outputName: "core")
      var expansion = CoreExpansion()
      (expansion.threads, expansion.memoryBudget, expansion.mostBytes) = (
        number, number, UInt64(clamping: number)
      )
      let expanding = expansion
      await #expect(throws: SluiceError.self) {
        try await expanding.run(from: descriptor, to: -1, inputName: "core", outputName: "none")
      }
      let runtime = SluiceRuntime(memoryBudget: number)
      let copied = try? await PageCopy(
        from: Pages([PageRun(address: 0, byteCount: 4096)]), into: NullSink(), in: runtime
      ).run()
      #expect((copied != nil) == (number == .max))
      await runtime.shutdown()
      await runtime.shutdown()
    }
  }

  @Test(arguments: numbers) func `rounds of any number`(number: Int) async throws {
    let model = DirtyRateModel(
      totalPages: UInt64(clamping: number),
      windows: Self.times.map { .init(duration: $0, pages: .max) } + [.init(duration: .seconds(1), pages: 0)])
    for time in Self.times { #expect(model.pages(in: time) <= UInt64(clamping: number)) }
    for rate in [Double.nan, -1, 0, .leastNonzeroMagnitude, 1, .greatestFiniteMagnitude, .infinity] {
      var policy = RoundPolicy(rounds: number)
      (policy.untilPages, policy.untilSkippedPercent, policy.maxGrowthPages) = (0, .infinity, .max)
      let forecast = try? model.forecast(copyRate: rate, policy: policy)
      #expect((forecast != nil) == (number == 1 && rate > 0 && rate.isFinite))
    }
    for seconds in [Double.nan, -.infinity, 0, 86_401, .infinity] {
      var measurement = DirtyRate(pid: getpid())
      measurement.seconds = seconds
      let wrong = measurement
      let error = await #expect(throws: SluiceError.self) { try await wrong.run() }
      #expect(error?.code == .invalidArgument)
      await #expect(throws: SluiceError.self) { try await wrong.watch(every: seconds) { _ in false } }
    }
    for rate in [UInt64.min, 1, .max] {
      let limit = RateLimit(bytesPerSecond: rate)
      limit.bytesPerSecond = nil
      limit.bytesPerSecond = rate
      #expect(limit.bytesPerSecond == max(rate, 1))
    }
    let pid = Int32(truncatingIfNeeded: number)
    _ = try? LiveMappings(path: "/nowhere", namespacePid: pid)
    _ = try? await ImageEntries(path: "/nowhere", pid: pid)
    _ = try? await CheckpointCore(directory: "/nowhere").run(pid: pid, to: -1, outputName: "")
    _ = try? await Capabilities.find(for: pid)
    let number = ErrorNumber(code: pid)
    #expect("\(number)".isEmpty == false)
  }

  @Test func `a page server that has served its connection serves no other`() async throws {
    try await withTemporaryDirectory { directory in
      var ends: [Int32] = [0, 0]
      #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
      close(ends[1])
      let server = try PageServer(.init(directory: "\(directory)/images"), connection: ends[0])
      for _ in 0..<2 { await #expect(throws: SluiceError.self) { try await server.runOnce() } }
      await #expect(throws: SluiceError.self) { try await server.run(.init()) { _ in } }
      var none = PageServer.Sessions()
      none.most = .min
      let wrong = none
      await #expect(throws: SluiceError.self) { try await server.run(wrong) { _ in } }
    }
  }

  // MARK: Sources

  /// Says that it has these runs, of one process, and reads them by `bytes`.
  private struct Pages: PageSource {
    let runs: [PageRun]
    var begins = 1
    var ends = 1
    var read: @Sendable (Int) -> Int = { $0 }

    init(_ runs: [PageRun]) { self.runs = runs }

    func walk(_ plans: inout PlanWriter) async throws {
      let owner = PageOwner.process(ProcessIdentity(pid: -1, namespacePid: .min, startTime: .max))
      for _ in 0..<begins { try await plans.begin(owner) }
      for run in runs { try await plans.read(run) }
      for _ in 0..<ends { try await plans.end(owner) }
    }

    func makeReader() -> any PageSourceReader { Reader(read) }

    private final class Reader: PageSourceReader {
      private let read: @Sendable (Int) -> Int
      init(_ read: @escaping @Sendable (Int) -> Int) { self.read = read }
      func fill(_ plan: inout ReadPlan) throws { plan.fillRuns { _, room in read(room.byteCount) } }
    }
  }

  private func code(of source: Pages, readers: Int = 1) async -> SluiceError.Code? {
    var copy = PageCopy(from: source, into: MemorySink())
    copy.readers = readers
    do throws(SluiceError) {
      _ = try await copy.run()
      return nil
    } catch { return error.code }
  }

  @Test func `what a source says that cannot be`() async throws {
    let good = PageRun(address: 8192, byteCount: 8192)
    #expect(await code(of: Pages([good])) == nil)
    for readers in Self.numbers {
      #expect(await code(of: Pages([good]), readers: readers) == (readers == 1 ? nil : .invalidArgument))
    }
    let wrong: [[PageRun]] = [
      [PageRun(address: 1, byteCount: 4096)], [PageRun(address: 0, byteCount: 1)],
      [PageRun(address: .max, byteCount: .max)], [PageRun(address: 0 &- 4096, byteCount: 4096)],
      [PageRun(address: 0 &- 8192, byteCount: 1 << 62)], [good, good],
      [good, PageRun(address: 4096, byteCount: 4096)],
    ]
    for runs in wrong { #expect(await code(of: Pages(runs)) == .invalidArgument, "\(runs)") }
    #expect(await code(of: Pages([PageRun(address: 0, byteCount: 0), good])) == nil)
    for (begins, ends) in [(0, 1), (2, 1), (1, 0), (1, 2), (0, 0)] {
      var source = Pages([good])
      (source.begins, source.ends) = (begins, ends)
      #expect(await code(of: source) == .invalidArgument, "\(begins) \(ends)")
    }
    for count in [-1, 1, 4095, 12_288, Int.min, Int.max] {
      var source = Pages([good])
      source.read = { _ in count }
      #expect(await code(of: source) == .invalidArgument, "\(count)")
    }
    #expect(PageRun(address: .max, byteCount: .max).end == .max)
  }

  /// The sink has a chunk for longer than the run; the runtime then has a buffer less, and goes on.
  @Test func `a chunk that is kept beyond its run`() async throws {
    final class Kept: Sendable {
      let chunk: PageChunk
      init(_ chunk: consuming PageChunk) { self.chunk = chunk }
    }
    actor KeepingSink: PageSink {
      nonisolated let limits = SinkLimits()
      var kept: Kept?
      func begin(_ owner: PageOwner, expectedBytes: UInt64) {}
      func write(_ chunk: consuming PageChunk) { kept = Kept(chunk) }
      func end(_ owner: PageOwner, failure: SluiceError?) {}
      func commit(_ manifest: RunManifest) {}
      func abort() {}
    }
    let runtime = SluiceRuntime(memoryBudget: 4 << 20)
    let sink = KeepingSink()
    for _ in 0..<5 {
      let manifest = try await PageCopy(
        from: Pages([PageRun(address: 4096, byteCount: 32 << 20)]), into: sink, in: runtime
      ).run()
      #expect(manifest.entries.first?.pagesWritten == 8192)
    }
    await runtime.shutdown()
    #expect(await sink.kept?.chunk.byteCount ?? 0 > 0)
  }

  @Test func `a runtime that is shut down while it is used`() async throws {
    let runtime = SluiceRuntime(memoryBudget: 4 << 20)
    let copy = Task {
      try await PageCopy(
        from: Pages([PageRun(address: 4096, byteCount: 1 << 30)]), into: NullSink(), in: runtime
      ).run()
    }
    for _ in 0..<20 {
      try await Task.sleep(for: .milliseconds(1))
      await runtime.shutdown()
    }
    let result = await copy.result
    if case .failure(let error) = result { #expect(error is SluiceError) }
    _ = try await PageCopy(
      from: Pages([PageRun(address: 4096, byteCount: 4096)]), into: NullSink(), in: runtime
    ).run()
    await runtime.shutdown()
  }

  // MARK: Errors

  @Test func `an error can be made, matched and shown`() throws {
    let made = SluiceError(.targetGone, message: "process 7 has ended", errno: ErrorNumber(code: ESRCH))
    #expect(made.localizedDescription == "process 7 has ended")
    #expect((made as any Error).localizedDescription == "process 7 has ended")
    #expect("\(made)" == "process 7 has ended")
    #expect(made.errno?.name == "ESRCH")
    #expect(!made.isCausedByExec)
    func fail() throws(SluiceError) { throw made }
    do throws(SluiceError) { try fail() } catch  where error.code == .cancelled {
      Issue.record("it is another")
    } catch { #expect(error.code == .targetGone) }
    func failAnyhow() throws { throw made }
    do { try failAnyhow() } catch let error as SluiceError where error.code == .targetGone {} catch {
      Issue.record("\(error)")
    }
    #expect(SluiceError(of: CancellationError()).code == .cancelled)
    #expect(SluiceError(of: made).code == .targetGone)
  }

  /// What was copied is what is expected, when all is copied.
  @Test func `progress comes to its end`() async throws {
    let progress = ProgressFeed()
    let watcher = Task { await progress.reduce(into: [PreDumpProgress]()) { $0.append($1) } }
    try await Task.sleep(for: .milliseconds(50))
    try await MemoryTarget.run(["--size", "8M"]) { target in
      _ = try await PreDump(.init(pid: target.pid), into: NullSink(), progress: progress).run()
    }
    let last = try #require(await watcher.value.last)
    #expect(last.phase == .ended && last.bytesWritten >= 8 << 20 && last.bytesExpected == last.bytesWritten)
    #expect(last.elapsed > .zero)
  }
}
