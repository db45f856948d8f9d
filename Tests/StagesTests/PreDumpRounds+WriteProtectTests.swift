import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Rounds without a stop", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct WriteProtectRoundsTests {
    /// Rounds of which the last one stops the process and leaves it stopped; nothing ends them early.
    private func run(
      _ target: MemoryTarget, in directory: String, rounds: Int,
      _ change: (inout PreDump.Configuration) -> Void = { _ in }
    ) async throws -> [PreDumpReport] {
      var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
      configuration.tracker = .writeProtect
      change(&configuration)
      var policy = RoundPolicy()
      policy.rounds = rounds
      policy.untilPages = 0
      policy.untilSkippedPercent = 100.5
      policy.maxGrowthPages = 1 << 40
      var rounds = try PreDumpRounds(configuration, policy: policy, lastRound: .leavesStopped)
      var reports: [PreDumpReport] = []
      while let round = try await rounds.next() {
        let report = try await round.run()
        rounds.ended(report)
        reports.append(report)
      }
      return reports
    }

    @Test(arguments: [
      ["--size", "16M", "--write-rate", "2000"], ["--size", "16M", "--write-rate", "max", "--writers", "2"],
      ["--size", "32M", "--huge-pages", "yes", "--write-rate", "200"],
      ["--size", "8M", "--remap", "--write-rate", "500"], ["--size", "8M", "--churn", "2"],
      ["--size", "8M", "--vmas", "500", "--write-rate", "500"], ["--size", "8M", "--odd"],
    ])
    func endWithTheMemoryOfOneMoment(options: [String]) async throws {
      try await MemoryTarget.run(options) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await run(target, in: "\(directory)/chain", rounds: 4)
          #expect(reports.map(\.tracker) == Array(repeating: .writeProtect, count: 4))
          #expect(reports.dropLast().allSatisfy { $0.frozenMicroseconds == 0 })
          #expect(reports[0].injectionMicroseconds.count == 1)
          #expect(reports.dropFirst().allSatisfy { $0.injectionMicroseconds.isEmpty })
          #expect(reports[3].frozenMicroseconds > 0)
          let comparison = try await ImageComparison.run(pid: target.pid, images: "\(directory)/chain/4")
          #expect(comparison.isEqual, "\(comparison)")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func leaveToTheParentWhatWasNotWritten() async throws {
      try await MemoryTarget.run(["--size", "16M"]) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await run(target, in: "\(directory)/chain", rounds: 3)
          #expect(reports[0].pagesWritten >= 4096)
          for report in reports.dropFirst() {
            #expect(report.pagesSkippedParent >= 4096)
            // Its stack, and what the check of its status writes; not the memory.
            #expect(report.pagesWritten < 64, "\(report.pagesWritten)")
          }
          target.program.resume()
        }
      }
    }

    @Test func copyEverythingAfterTheProcessHasExecutedAnotherProgram() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/chain")
          configuration.tracker = .writeProtect
          var policy = RoundPolicy()
          (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (3, 0, 100.5)
          policy.maxGrowthPages = 1 << 40
          var rounds = try PreDumpRounds(configuration, policy: policy, lastRound: .leavesStopped)
          var reports: [PreDumpReport] = []
          while let round = try await rounds.next() {
            let report = try await round.run()
            rounds.ended(report)
            reports.append(report)
            guard reports.count == 1 else { continue }
            target.program.send(SIGHUP)
            _ = try await target.program.nextLine()
          }
          #expect(reports[1].pagesSkippedParent == 0)
          #expect(reports[1].injectionMicroseconds.count == 1)
          #expect(reports[2].pagesSkippedParent >= 2048)
          let comparison = try await ImageComparison.run(pid: target.pid, images: "\(directory)/chain/3")
          #expect(comparison.isEqual, "\(comparison)")
          target.program.resume()
        }
      }
    }

    @Test func goOnWhenTheBudgetHoldsFewOfTheWrittenPages() async throws {
      try await MemoryTarget.run(["--size", "64M", "--layout", "alternate", "--write-rate", "max"]) {
        target in
        try await withTemporaryDirectory { directory in
          let reports = try await run(target, in: "\(directory)/chain", rounds: 3) {
            $0.memoryBudget = 1 << 20
          }
          #expect(reports.count == 3)
          let comparison = try await ImageComparison.run(pid: target.pid, images: "\(directory)/chain/3")
          #expect(comparison.isEqual, "\(comparison)")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func aLastRoundByItselfHasTheMemoryOfOneMoment() async throws {
      try await MemoryTarget.run(["--size", "8M", "--write-rate", "max"]) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await run(target, in: "\(directory)/one", rounds: 1) { $0.tracker = .automatic }
          #expect(reports.count == 1 && reports[0].frozenMicroseconds > 0)
          let comparison = try await ImageComparison.run(pid: target.pid, images: "\(directory)/one/1")
          #expect(comparison.isEqual, "\(comparison)")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func aTreeIsWatchedProcessByProcess() async throws {
      try await TreeTarget.run(Array(repeating: ["--size", "4M"], count: 3)) { tree in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: tree.pid, imagesDirectory: "\(directory)/chain")
          configuration.tracker = .writeProtect
          var policy = RoundPolicy()
          (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (3, 0, 100.5)
          policy.maxGrowthPages = 1 << 40
          var rounds = try PreDumpRounds(configuration, policy: policy, lastRound: .resumes)
          var reports: [PreDumpReport] = []
          while let round = try await rounds.next() {
            let report = try await round.run()
            rounds.ended(report)
            reports.append(report)
          }
          #expect(reports[0].injectionMicroseconds.count == reports[0].tasks.count)
          #expect(reports[0].tasks.count == 4)
          #expect(reports[2].tasks.allSatisfy { $0.error == nil && $0.pagesSkippedParent > $0.pagesWritten })
        }
      }
    }
  }
}
