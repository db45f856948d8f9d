import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Rounds up to a stop", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct MaxStopTests {
    private func configuration(_ pid: Int32, in directory: String) -> PreDump.Configuration {
      var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
      configuration.tracker = .writeProtect
      return configuration
    }

    private func policy(_ maxStop: Duration, _ ifNot: RoundPolicy.IfNotConverging = .stop) -> RoundPolicy {
      var policy = WholeRounds.policy(rounds: 10)
      (policy.maxStop, policy.ifNotConverging) = (maxStop, ifNot)
      return policy
    }

    private func reports(
      _ configuration: PreDump.Configuration, _ policy: RoundPolicy
    ) async throws -> (reports: [PreDumpReport], end: RoundPolicy.End?) {
      try await withPreDumpRounds(configuration, policy: policy, lastRound: .leavesStopped) { rounds in
        var reports: [PreDumpReport] = []
        for try await report in rounds { reports.append(report) }
        return (reports, rounds.endReason)
      }
    }

    @Test func `end with the stop as soon as that is short enough`() async throws {
      try await MemoryTarget.run(["--size", "16M", "--write-rate", "200"]) { target in
        try await withTemporaryDirectory { directory in
          let (reports, end) = try await reports(
            configuration(target.pid, in: "\(directory)/chain"), policy(.seconds(60)))
          #expect(end == .stopFits)
          #expect(reports.map(\.isLast) == [false, true])
          #expect(reports.allSatisfy { $0.predictedStop ?? .zero > .zero })
          #expect(reports[1].stopped >= reports[1].frozen && reports[1].frozen > .zero)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/2")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func `stop all the same where rounds do not make that shorter`() async throws {
      try await MemoryTarget.run(["--size", "16M", "--write-rate", "max"]) { target in
        try await withTemporaryDirectory { directory in
          let (reports, end) = try await reports(
            configuration(target.pid, in: "\(directory)/chain"), policy(.microseconds(1)))
          #expect(end == .noConvergence || end == .rounds)
          #expect(reports.last?.isLast == true)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/\(reports.count)")
          target.program.resume()
          try await target.check()
        }
      }
    }

    /// By themselves, too: then it is found out before the first round whether the stop would fit.
    @Test(arguments: [10, 1])
    func `fail and leave the processes running where that is asked for`(rounds: Int) async throws {
      try await MemoryTarget.run(["--size", "16M", "--write-rate", "max"]) { target in
        try await withTemporaryDirectory { directory in
          var policy = policy(.microseconds(1), .fail)
          policy.rounds = rounds
          let error = await #expect(throws: SluiceError.self) {
            _ = try await reports(configuration(target.pid, in: "\(directory)/chain"), policy)
          }
          #expect(error?.code == .notConverging, "\(String(describing: error))")
          try await target.check()
          let valid = FileManager.default.fileExists(atPath: "\(directory)/chain/1/inventory.img")
          #expect(valid == (rounds > 1))
        }
      }
    }

    @Test(arguments: [1, 3])
    func `read with as many threads as they are told to`(readers: Int) async throws {
      try await MemoryTarget.run(["--size", "32M", "--layout", "alternate", "--write-rate", "500"]) {
        target in
        try await withTemporaryDirectory { directory in
          var configuration = configuration(target.pid, in: "\(directory)/chain")
          configuration.stopReaders = readers
          let (reports, _) = try await reports(configuration, policy(.seconds(60)))
          #expect(reports.map(\.readers) == [1, readers])
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/2")
          target.program.resume()
          try await target.check()
        }
      }
    }
  }
}
