import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// What a process does between two rounds and the write protection by itself does not tell, or tells only once.
  @Suite("Pages that rounds without a stop must not lose", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct LostPagesTests {
    /// As many rounds as there are changes, which are made after each, and a last one that leaves the process stopped.
    private func run(
      _ target: MappingTarget, in directory: String, changes: [(MappingTarget) async throws -> Void]
    ) async throws -> [PreDumpReport] {
      var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
      configuration.tracker = .writeProtect
      var policy = RoundPolicy()
      (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (changes.count + 1, 0, 100.5)
      policy.maxGrowthPages = 1 << 40
      var rounds = try PreDumpRounds(configuration, policy: policy, lastRound: .leavesStopped)
      var reports: [PreDumpReport] = []
      while let round = try await rounds.next() {
        let report = try await round.run()
        rounds.ended(report)
        reports.append(report)
        if reports.count <= changes.count { try await changes[reports.count - 1](target) }
      }
      return reports
    }

    private func expectEqual(_ pid: Int32, _ images: String) async throws {
      let comparison = try await ImageComparison.run(pid: pid, images: images)
      #expect(comparison.isEqual, "\(comparison)")
    }

    @Test func anotherProgramJustBeforeTheLastRoundIsCopiedWhole() async throws {
      try await MappingTarget.run(hasFixedAddresses: true) { target in
        try await withTemporaryDirectory { directory in
          let first = try await target.map(pages: 300)
          try await target.tell("stamp \(hexadecimal(first)) 300 1")
          let reports = try await run(
            target, in: "\(directory)/chain",
            changes: [
              { target in
                try await target.tell("exec")
                let again = try await target.map(pages: 300)
                #expect(again == first, "the addresses are the same")
                try await target.tell("stamp \(hexadecimal(again)) 300 2")
              }
            ])
          #expect(reports[1].pagesSkippedParent == 0)
          try await expectEqual(target.pid, "\(directory)/chain/2")
          target.program.resume()
        }
      }
    }
  }
}
