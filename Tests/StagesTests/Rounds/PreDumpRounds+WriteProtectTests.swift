import Foundation
import Logging
import Sluice
import SluicePipeline
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Rounds without a stop", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct WriteProtectRoundsTests {
    private func configuration(_ pid: Int32, in directory: String) -> PreDump.Configuration {
      var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
      configuration.tracker = .writeProtect
      return configuration
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
          let reports = try await WholeRounds.run(
            configuration(target.pid, in: "\(directory)/chain"), rounds: 4)
          #expect(reports.map(\.tracker) == Array(repeating: .writeProtect, count: 4))
          #expect(reports.dropLast().allSatisfy { $0.frozen == .zero })
          #expect(reports[0].injections == 1)
          #expect(reports.dropFirst().allSatisfy { $0.injections == 0 })
          #expect(reports[3].frozen > .zero)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/4")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func leaveToTheParentWhatWasNotWritten() async throws {
      try await MemoryTarget.run(["--size", "16M"]) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await WholeRounds.run(
            configuration(target.pid, in: "\(directory)/chain"), rounds: 3)
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
          let reports = try await WholeRounds.run(
            configuration(target.pid, in: "\(directory)/chain"), rounds: 3
          ) { number in
            guard number == 1 else { return }
            target.program.send(SIGHUP)
            _ = try await target.program.nextLine()
          }
          #expect(reports[1].pagesSkippedParent == 0)
          #expect(reports[1].injections == 1)
          #expect(reports[2].pagesSkippedParent >= 2048)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/3")
          target.program.resume()
        }
      }
    }

    @Test func goOnWhenTheBudgetHoldsFewOfTheWrittenPages() async throws {
      try await MemoryTarget.run(["--size", "64M", "--layout", "alternate", "--write-rate", "max"]) {
        target in
        try await withTemporaryDirectory { directory in
          var small = configuration(target.pid, in: "\(directory)/chain")
          small.memoryBudget = 1 << 20
          let reports = try await WholeRounds.run(small, rounds: 3)
          #expect(reports.count == 3)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/3")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func aLastRoundByItselfHasTheMemoryOfOneMoment() async throws {
      try await MemoryTarget.run(["--size", "8M", "--write-rate", "max"]) { target in
        try await withTemporaryDirectory { directory in
          var one = configuration(target.pid, in: "\(directory)/one")
          one.tracker = .automatic
          let reports = try await WholeRounds.run(one, rounds: 1)
          #expect(reports.count == 1 && reports[0].frozen > .zero)
          try await StagesTests.expectEqual(target.pid, "\(directory)/one/1")
          target.program.resume()
          try await target.check()
        }
      }
    }

    /// While a part of a mapping is watched, it cannot be moved or made longer (mremap: EFAULT).
    @Test func cutNoMappingThatBecomesLonger() async throws {
      try await TrialTarget.run(["growing"]) { target in
        try await withTemporaryDirectory { directory in
          for turn in 1...5 {
            _ = try await WholeRounds.run(
              configuration(target.pid, in: "\(directory)/\(turn)"), rounds: 4, last: .resumes)
            let answer = try await target.check()
            #expect(answer.hasPrefix("ok "), "\(answer)")
          }
        }
      }
    }

    /// What one is told of a memory, no other is told any more: the other finds out otherwise, and says so.
    @Test func twoRunsAtOnceAreBothRight() async throws {
      for turn in 1...3 {
        try await MemoryTarget.run(["--size", "16M", "--write-rate", "4000", "--random"]) { target in
          try await withTemporaryDirectory { directory in
            let warnings = Locked<[String]>([])
            var runs: [[PreDumpReport.Tracker]] = []
            try await withThrowingTaskGroup(of: [PreDumpReport].self) { group in
              for name in ["one", "other"] {
                var shared = PreDump.Configuration(
                  pid: target.pid, imagesDirectory: "\(directory)/\(name)")
                shared.logger = Logger(label: "test") { _ in Warnings(kept: warnings) }
                let configuration = shared
                group.addTask {
                  try await WholeRounds.run(configuration, rounds: name == "one" ? 8 : 12)
                }
              }
              for try await reports in group { runs.append(reports.map(\.tracker)) }
            }
            let kinds = runs.map { Set($0) }
            #expect(kinds.contains([.content]), "turn \(turn): \(runs)")
            #expect(kinds.contains([.writeProtect]) || kinds.contains([.both]), "turn \(turn): \(runs)")
            let said = warnings.withLock { $0 }
            #expect(said.filter { $0.contains("is watched already") }.count == 1, "turn \(turn): \(said)")
            try await StagesTests.expectEqual(target.pid, "\(directory)/one/8")
            try await StagesTests.expectEqual(target.pid, "\(directory)/other/12")
            target.program.resume()
            try await target.check()
          }
        }
      }
    }

    @Test func aRunThatWasAskedToWatchRefusesWhatAnotherWatches() async throws {
      try await MemoryTarget.run(["--size", "4M", "--write-rate", "100"]) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await WholeRounds.run(
            configuration(target.pid, in: "\(directory)/one"), rounds: 3
          ) { number in
            guard number == 1 else { return }
            // In the middle of the other.
            do {
              _ = try await WholeRounds.run(
                configuration(target.pid, in: "\(directory)/other"), rounds: 2)
              Issue.record("it took what the other was to be told")
            } catch let error as SluiceError {
              #expect(error.code == .notTrackable)
            }
            do {
              var measurement = DirtyRate(pid: target.pid)
              measurement.seconds = 0.1
              _ = try await measurement.run()
              Issue.record("it took what the other was to be told")
            } catch let error as SluiceError {
              #expect(error.code == .notTrackable)
            }
          }
          #expect(reports[1].tracker == .writeProtect && reports[1].pagesSkippedParent > 512)
          try await StagesTests.expectEqual(target.pid, "\(directory)/one/3")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func aTreeIsWatchedProcessByProcess() async throws {
      try await TreeTarget.run(Array(repeating: ["--size", "4M"], count: 3)) { tree in
        try await withTemporaryDirectory { directory in
          let reports = try await WholeRounds.run(
            configuration(tree.pid, in: "\(directory)/chain"), rounds: 3, last: .resumes)
          #expect(reports[0].injections == reports[0].processes.count)
          #expect(reports[0].processes.count == 4)
          #expect(
            reports[2].processes.allSatisfy { $0.error == nil && $0.pagesSkippedParent > $0.pagesWritten })
        }
      }
    }
  }
}
