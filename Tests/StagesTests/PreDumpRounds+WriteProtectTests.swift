import Foundation
import Sluice
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
          #expect(reports.dropLast().allSatisfy { $0.frozenMicroseconds == 0 })
          #expect(reports[0].injectionMicroseconds.count == 1)
          #expect(reports.dropFirst().allSatisfy { $0.injectionMicroseconds.isEmpty })
          #expect(reports[3].frozenMicroseconds > 0)
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
          #expect(reports[1].injectionMicroseconds.count == 1)
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
          #expect(reports.count == 1 && reports[0].frozenMicroseconds > 0)
          try await StagesTests.expectEqual(target.pid, "\(directory)/one/1")
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
          #expect(reports[0].injectionMicroseconds.count == reports[0].tasks.count)
          #expect(reports[0].tasks.count == 4)
          #expect(reports[2].tasks.allSatisfy { $0.error == nil && $0.pagesSkippedParent > $0.pagesWritten })
        }
      }
    }
  }
}
