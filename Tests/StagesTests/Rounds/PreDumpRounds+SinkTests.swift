import Sluice
import SluicePipeline
import SluiceTestSupport
import Testing

/// What the sinks of rounds have together, as a source: each page from the newest round that has it.
private struct Merged: PageSource {
  let owner: PageOwner
  let pages: [UInt64: [UInt8]]

  func walk(_ plans: inout PlanWriter) async throws {
    try await plans.begin(owner)
    for address in pages.keys.sorted() { try await plans.read(PageRun(address: address, byteCount: 4096)) }
    try await plans.end(owner)
  }

  func makeReader() -> any PageSourceReader { Reader(pages: pages) }

  private final class Reader: PageSourceReader {
    private let pages: [UInt64: [UInt8]]
    init(pages: [UInt64: [UInt8]]) { self.pages = pages }

    func fill(_ plan: inout ReadPlan) {
      plan.fillRuns { run, room in
        for offset in stride(from: 0, to: room.byteCount, by: 4096) {
          for (index, byte) in pages[run.address + UInt64(offset), default: []].enumerated() {
            room.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
          }
        }
        return room.byteCount
      }
    }
  }
}

extension StagesTests {
  @Suite("Rounds into sinks", .timeLimit(.minutes(10)))
  struct SinkRoundsTests {
    private static func policy(_ rounds: Int) -> RoundPolicy {
      var policy = RoundPolicy()
      (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (rounds, 0, 100.5)
      policy.maxGrowthPages = 1 << 40
      return policy
    }

    /// Makes rounds, the last of which leaves the process stopped, and merges what the sinks have.
    private static func merge(
      _ configuration: PreDump.Configuration, rounds count: Int
    ) async throws -> (merged: Merged, reports: [PreDumpReport], missing: Int) {
      let sinks = Locked<[Int: MemorySink]>([:])
      let reports = try await withPreDumpRounds(
        configuration,
        into: { number in
          let sink = MemorySink()
          sinks.withLock { $0[number] = sink }
          return sink
        }, policy: policy(count), lastRound: .leavesStopped
      ) { rounds in
        var reports: [PreDumpReport] = []
        for try await report in rounds { reports.append(report) }
        return reports
      }
      var (pages, missing): ([UInt64: [UInt8]], Int) = ([:], 0)
      var owner: PageOwner?
      for number in 1...count {
        let memory = await sinks.withLock { $0[number] }?.memory ?? [:]
        #expect(memory.count == 1)
        guard let (known, own) = memory.first else { continue }
        owner = known
        // What a round neither has nor leaves to the one before is there no more.
        var next = own.pages
        for run in own.parentRuns {
          for address in stride(from: run.address, to: run.end, by: 4096) {
            if let page = pages[address] { next[address] = page } else { missing += 1 }
          }
        }
        pages = next
      }
      return (Merged(owner: try #require(owner), pages: pages), reports, missing)
    }

    private static func makeImages(of merged: Merged, in directory: String) -> MakeImages {
      var images = MakeImages(from: merged, directory: directory)
      // Images without it are no base for CRIU; the comparison wants one, of any time since the machine started.
      images.trackedSince = 1_000_000
      return images
    }

    @Test(
      .enabled(if: Kernel.isAtLeast(6, 7)),
      arguments: [
        ["--size", "8M", "--write-rate", "2000"], ["--size", "4M", "--remap", "--write-rate", "500"],
        ["--size", "4M", "--churn", "2"], ["--size", "4M", "--odd"],
      ])
    func `together they have the memory of one moment`(options: [String]) async throws {
      try await MemoryTarget.run(options) { target in
        try await withTemporaryDirectory { directory in
          let (merged, reports, missing) = try await Self.merge(.init(pid: target.pid), rounds: 4)
          #expect(missing == 0)
          #expect(reports.count == 4 && reports[3].isLast)
          #expect(reports.dropFirst().allSatisfy { $0.pagesSkippedParent > 0 })
          #expect(reports[0].pagesSkippedParent == 0)
          let made = try await Self.makeImages(of: merged, in: "\(directory)/images").run()
          #expect(made.pages == UInt64(merged.pages.count))
          try await StagesTests.expectEqual(target.pid, "\(directory)/images")
          target.program.resume()
        }
        try await target.check()
      }
    }

    @Test func `without a tracker every round has everything`() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid)
          configuration.tracker = .none
          let (merged, reports, missing) = try await Self.merge(configuration, rounds: 2)
          #expect(missing == 0 && reports.allSatisfy { $0.pagesSkippedParent == 0 })
          _ = try await Self.makeImages(of: merged, in: "\(directory)/images").run()
          try await StagesTests.expectEqual(target.pid, "\(directory)/images")
          target.program.resume()
        }
      }
    }

    @Test func `hashes of pages have no place in sinks`() async throws {
      var configuration = PreDump.Configuration(pid: 1)
      configuration.tracker = .content
      let error = await #expect(throws: SluiceError.self) {
        try await withPreDumpRounds(configuration, into: { _ in NullSink() }, policy: RoundPolicy()) { _ in }
      }
      #expect(error?.code == .invalidArgument)
    }

    @Test func `images of a source that fails are not there`() async throws {
      final class Idle: PageSourceReader {
        func fill(_ plan: inout ReadPlan) {}
      }
      struct Failing: PageSource {
        func walk(_ plans: inout PlanWriter) async throws {
          try await plans.begin(.image(pagemap: "pagemap-1.img"))
          throw TestFailure("the source has failed")
        }
        func makeReader() -> any PageSourceReader { Idle() }
      }
      try await withTemporaryDirectory { directory in
        let error = await #expect(throws: SluiceError.self) {
          try await MakeImages(from: Failing(), directory: "\(directory)/images").run()
        }
        #expect("\(error.map { "\($0)" } ?? "")".contains("the source has failed"))
        #expect(!looksFinished("\(directory)/images"))
      }
    }
  }
}
