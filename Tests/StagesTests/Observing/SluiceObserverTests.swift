import Sluice
import SluicePipeline
import SluiceTestSupport
import Testing

/// Keeps all that it is told.
private final class Recorder: SluiceObserver {
  struct Ended: Sendable {
    let span: ObservedSpan
    let began: ObservedMoment
    let ended: ObservedMoment
    let code: SluiceError.Code?

    var nanoseconds: UInt64 { ended.nanosecondsSince1970 - began.nanosecondsSince1970 }
  }

  struct State: Sendable {
    var open: [ObservedSpan: ObservedMoment] = [:]
    var ended: [Ended] = []
    var durations: [ObservedSpan: [ObservedOperation: DurationHistogram]] = [:]
    var pages: [ObservedSpan: [ObservedPages: UInt64]] = [:]
    var held: [ObservedSpan: [ObservedMemory]] = [:]
    var mostHeld = 0
    var completed: [ObservedSpan: PreDumpReport] = [:]
    var wrong: [String] = []
  }

  private let state = Locked(State())

  /// What was told so far.
  var told: State { state.withLock { $0 } }

  func began(_ span: ObservedSpan, at moment: ObservedMoment) {
    state.withLock { state in
      if let parent = span.parent, !state.open.keys.contains(where: { $0.id == parent }) {
        state.wrong.append("\(span) is a part of nothing that is under way")
      }
      if state.open.updateValue(moment, forKey: span) != nil { state.wrong.append("\(span) began twice") }
    }
  }

  func ended(_ span: ObservedSpan, at moment: ObservedMoment, failure: SluiceError?) {
    state.withLock { state in
      guard let began = state.open.removeValue(forKey: span) else {
        return state.wrong.append("\(span) has not begun")
      }
      if state.open.keys.contains(where: { $0.parent == span.id }) {
        state.wrong.append("\(span) ended before a part of it")
      }
      state.ended.append(Ended(span: span, began: began, ended: moment, code: failure?.code))
    }
  }

  func took(_ durations: DurationHistogram, _ operation: ObservedOperation, in span: ObservedSpan) {
    state.withLock { $0.durations[span, default: [:]][operation, default: DurationHistogram()] += durations }
  }

  func counted(_ pages: UInt64, _ kind: ObservedPages, in span: ObservedSpan) {
    state.withLock { $0.pages[span, default: [:]][kind, default: 0] += pages }
  }

  func holds(_ parts: [ObservedMemory], in span: ObservedSpan) {
    state.withLock { state in
      state.held[span] = parts.isEmpty ? nil : parts
      state.mostHeld = max(state.mostHeld, state.held.values.joined().reduce(0) { $0 + $1.byteCount })
    }
  }

  func completed(_ report: PreDumpReport, in span: ObservedSpan) {
    state.withLock { $0.completed[span] = report }
  }
}

extension Recorder.State {
  fileprivate func spans(_ kind: ObservedSpan.Kind) -> [Recorder.Ended] {
    ended.filter { $0.span.kind == kind }
  }
}

/// Of what runs tell, it wants nothing.
private struct Deaf: SluiceObserver {}

extension StagesTests {
  @Suite("Observer", .timeLimit(.minutes(10)))
  struct SluiceObserverTests {
    /// That all that a round has told is what its report says.
    private static func expectSame(_ told: Recorder.State, _ report: PreDumpReport, in span: ObservedSpan) {
      let pages = told.pages[span] ?? [:]
      let expected: [ObservedPages: UInt64] = [
        .copied: report.pagesWritten, .zero: report.pagesZero, .parent: report.pagesSkippedParent,
        .vanished: report.pagesVanished, .forced: report.pagesForced, .swapped: report.pagesSwapped,
        .leftOut: report.pagesSkipped.values.reduce(0, +),
      ]
      #expect(pages == expected.filter { $0.value > 0 })
      let durations = told.durations[span] ?? [:]
      #expect(durations[.read]?.byteCount == report.bytesWritten)
      #expect(durations[.injection]?.count == (report.injections > 0 ? UInt64(report.injections) : nil))
      #expect((durations[.stop] == nil) == (report.stopped == .zero))
      if let stop = durations[.stop] {
        // The report has each part in whole microseconds.
        let difference = stop.total - report.stopped
        #expect(stop.count == 1 && difference >= .zero && difference < .microseconds(10))
      }
    }

    @Test func `a pre-dump tells what its report has`() async throws {
      try await MemoryTarget.run(["--size", "24M", "--odd"]) { target in
        try await withTemporaryDirectory { directory in
          let recorder = Recorder()
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/1")
          configuration.observer = recorder
          configuration.memoryBudget = 8 << 20
          configuration.syncs = false
          let report = try await PreDump(configuration).run()
          let told = recorder.told
          #expect(told.wrong == [] && told.open.isEmpty && told.held.isEmpty)
          let run = try #require(told.spans(.run).first?.span)
          let round = try #require(told.spans(.round).first)
          #expect(told.ended.map(\.span.kind) == [.publish, .round, .run])
          #expect(round.span.parent == run.id && run.parent == nil && run.pid == target.pid)
          #expect(told.spans(.publish)[0].span.parent == round.span.id)
          #expect(told.ended.allSatisfy { $0.code == nil })
          #expect(told.completed[round.span]?.pagesWritten == report.pagesWritten)
          Self.expectSame(told, report, in: round.span)
          #expect(told.durations[round.span]?[.write]?.byteCount == report.bytesWritten)
          #expect(told.durations[round.span]?[.send] == nil)
          #expect(told.mostHeld > 1 << 20 && told.mostHeld <= configuration.memoryBudget)
        }
        try await target.check()
      }
    }

    @Test(.enabled(if: Kernel.isAtLeast(6, 7)))
    func `rounds are parts of one run, and the last has its stop`() async throws {
      try await MemoryTarget.run(["--size", "16M", "--write-rate", "1000"]) { target in
        try await withTemporaryDirectory { directory in
          let recorder = Recorder()
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          configuration.observer = recorder
          configuration.syncs = false
          var policy = RoundPolicy()
          (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (3, 0, 100.5)
          policy.maxGrowthPages = 1 << 40
          let reports = try await withPreDumpRounds(configuration, policy: policy, lastRound: .resumes) {
            rounds in
            var reports: [PreDumpReport] = []
            for try await report in rounds { reports.append(report) }
            return reports
          }
          let told = recorder.told
          #expect(told.wrong == [] && told.open.isEmpty && told.held.isEmpty)
          #expect(told.spans(.run).count == 1 && told.spans(.publish).count == 3)
          let rounds = told.spans(.round)
          #expect(rounds.map(\.span.round) == [1, 2, 3])
          #expect(rounds.allSatisfy { $0.span.parent == told.spans(.run)[0].span.id })
          for (round, report) in zip(rounds, reports) { Self.expectSame(told, report, in: round.span) }
          #expect(told.durations[rounds[0].span]?[.injection]?.total ?? .zero > .zero)
          let stops = told.spans(.stop)
          #expect(stops.map(\.span.parent) == [rounds[2].span.id])
          #expect(Duration.nanoseconds(Int64(stops[0].nanoseconds)) - reports[2].stopped < .microseconds(10))
        }
        try await target.check()
      }
    }

    @Test func `a run that fails says so of each of its parts`() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          configuration.syncs = false
          _ = try await PreDump(configuration).run()
          let recorder = Recorder()
          configuration.observer = recorder
          // There are images now.
          let error = await #expect(throws: SluiceError.self) { try await PreDump(configuration).run() }
          let told = recorder.told
          #expect(told.wrong == [] && told.open.isEmpty && told.held.isEmpty && told.completed.isEmpty)
          #expect(told.ended.map(\.span.kind) == [.round, .run])
          #expect(told.ended.allSatisfy { $0.code == error?.code })
        }
      }
    }

    @Test func `a core is a run, too`() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          let recorder = Recorder()
          var configuration = CoreDump.Configuration(pid: target.pid, path: "\(directory)/core")
          configuration.copying.observer = recorder
          configuration.copying.syncs = false
          let report = try await CoreDump(configuration).run()
          let told = recorder.told
          #expect(told.wrong == [] && told.open.isEmpty && told.held.isEmpty)
          #expect(told.spans(.run).count == 1 && told.spans(.round).count == report.rounds.count)
          #expect(told.spans(.stop).count == report.rounds.count { $0.stopped > .zero })
          #expect(report.stopped > .zero)
          // One of each round, and one of the file.
          #expect(told.spans(.publish).count == report.rounds.count + 1)
        }
        try await target.check()
      }
    }

    @Test func `client and server tell of a session`() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await withTemporaryDirectory { directory in
          let (client, server) = (Recorder(), Recorder())
          var serving = PageServer.Configuration(directory: "\(directory)/server")
          (serving.address, serving.syncs, serving.observer) = ("127.0.0.1", false, server)
          let listening = try PageServer(serving)
          async let session = listening.runOnce()
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/client")
          configuration.pageServer = PageServerTarget(.address(host: "127.0.0.1", port: listening.port))
          (configuration.syncs, configuration.observer) = (false, client)
          let report = try await PreDump(configuration).run()
          let received = try await session
          let sent = client.told
          let round = try #require(sent.spans(.round).first?.span)
          #expect(sent.durations[round]?[.send]?.byteCount == report.bytesWritten)
          #expect(sent.durations[round]?[.write] == nil)
          let told = server.told
          #expect(told.wrong == [] && told.open.isEmpty && told.held.isEmpty)
          let span = try #require(told.spans(.session).first?.span)
          #expect(told.ended.count == 1 && span.pid == nil)
          #expect(told.pages[span]?[.copied] == received.pages && received.pages > 2000)
          #expect(told.durations[span]?[.write]?.byteCount == received.bytes)
          #expect(told.mostHeld > 0)
        }
      }
    }

    @Test func `an observer that wants nothing changes nothing`() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          for (number, observer) in [nil, Deaf()].enumerated() {
            var configuration = PreDump.Configuration(
              pid: target.pid, imagesDirectory: "\(directory)/\(number)")
            (configuration.observer, configuration.syncs) = (observer, false)
            _ = try await PreDump(configuration).run()
            try await StagesTests.expectEqual(target.pid, "\(directory)/\(number)")
          }
        }
        target.program.resume()
      }
    }
  }
}

@Suite("Histogram of durations")
struct DurationHistogramTests {
  @Test func `every duration is within an eighth of its step's middle, and sums are exact`() {
    var values: [UInt64] = [0, 1, 3, 4, 5, 7, 8, 9, 1000, 1 << 20, (1 << 40) - 1, 1 << 40]
    for shift in 3..<62 { values += [1 << shift, (1 << shift) - 1, 5 << (shift - 2), 7 << (shift - 2)] }
    var all = DurationHistogram()
    for value in values {
      let one = DurationHistogram([.nanoseconds(Int64(value))])
      let step = one.steps[0]
      #expect(one.steps.count == 1 && one.count == 1 && step.count == 1)
      #expect(step.nanoseconds.contains(max(value, 4)), "\(value): \(step.nanoseconds)")
      let middle = UInt64(step.middle / .nanoseconds(1))
      #expect(max(middle, value) - min(middle, value) <= max(value / 8, 4), "\(value): \(middle)")
      all += one
    }
    #expect(all.count == UInt64(values.count))
    #expect(all.steps.map(\.count).reduce(0, +) == UInt64(values.count))
    #expect(
      zip(all.steps, all.steps.dropFirst()).allSatisfy {
        $0.nanoseconds.upperBound <= $1.nanoseconds.lowerBound
      })
    let few = DurationHistogram([.milliseconds(3), .microseconds(5), .seconds(2)])
    #expect(few.total == .seconds(2) + .milliseconds(3) + .microseconds(5))
  }
}
