import Foundation
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  @Suite("Rounds")
  struct PreDumpRoundsTests {
    /// Runs all rounds, and gives their reports.
    private func run(
      _ configuration: PreDump.Configuration, _ policy: RoundPolicy
    ) async throws -> (reports: [PreDumpReport], end: RoundPolicy.End?) {
      var rounds = try RoundSequence(configuration, policy: policy)
      var reports: [PreDumpReport] = []
      while let round = try await rounds.next() {
        #expect(rounds.end == nil)
        let report = try await round.run()
        rounds.ended(report)
        reports.append(report)
      }
      return (reports, rounds.end)
    }

    @Test func goIntoNumberedDirectoriesThatFormAChain() async throws {
      try await MemoryTarget.run(["--size", "8M", "--write-rate", "500"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/chain")
          // Without a tracker every round copies everything, on any kernel.
          configuration.tracker = .none
          var policy = RoundPolicy()
          policy.rounds = 3
          policy.maxGrowthPages = 1 << 40
          let (reports, end) = try await run(configuration, policy)
          #expect(end == .rounds)
          #expect(reports.map(\.imagesDirectory) == (1...3).map { "\(directory)/chain/\($0)" })
          #expect(reports.map(\.parentDirectory) == [nil, "\(directory)/chain/1", "\(directory)/chain/2"])
          #expect(reports.allSatisfy { $0.pagesSkippedParent == 0 && $0.frozen == .zero })
          for number in 1...3 {
            let summary = try await ImagesSummary(path: "\(directory)/chain/\(number)")
            #expect(summary.isFinished)
            #expect(summary.parent == (number == 1 ? nil : "../\(number - 1)"))
            let statistics = FileManager.default.fileExists(
              atPath: "\(directory)/chain/\(number)/stats-dump")
            #expect(statistics)
          }
          try await target.check()
          try await target.program.stop()
          // The last round is the only one that could be of this moment.
          let (again, _) = try await run(
            {
              var last = configuration
              last.imagesDirectory = "\(directory)/again"
              last.parentDirectory = "\(directory)/chain/3"
              return last
            }(), RoundPolicy())
          #expect(again.map(\.parentDirectory) == ["\(directory)/chain/3"])
          let comparison = try await ImageComparison.run(pid: target.pid, images: "\(directory)/again/1")
          #expect(comparison.isEqual, "\(comparison)")
          target.program.resume()
        }
      }
    }

    @Test func endEarlyByTheirPolicy() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          configuration.tracker = .none
          var policy = RoundPolicy()
          policy.rounds = 10
          policy.untilPages = 1 << 40
          #expect(try await run(configuration, policy).end == .fewPages)
          policy.untilPages = 0
          policy.maxTime = .zero
          configuration.imagesDirectory = "\(directory)/other"
          let (reports, end) = try await run(configuration, policy)
          #expect(end == .time)
          #expect(reports.count == 1)
        }
      }
    }

    @Test func aParentThatIsNoBaseIsIgnored() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/1")
          _ = try await PreDump(configuration).run()
          try FileManager.default.removeItem(atPath: "\(directory)/1/inventory.img")
          configuration.parentDirectory = "\(directory)/1"
          configuration.imagesDirectory = "\(directory)/2"
          let report = try await PreDump(configuration).run()
          #expect(report.parentDirectory == nil)
          #expect(try await ImagesSummary(path: "\(directory)/2").parent == nil)
          configuration.parentDirectory = "\(directory)/nowhere"
          configuration.imagesDirectory = "\(directory)/3"
          let error = await #expect(throws: SluiceError.self) { try await PreDump(configuration).run() }
          #expect(error?.code == .notFound)
          #expect(!FileManager.default.fileExists(atPath: "\(directory)/3"))
        }
      }
    }
  }
}
