import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// A process whose threads change mappings as fast as they can. What stands still beside them must be copied as it
  /// is, and none of the copies may fail.
  @Suite("Pre-dump of a process that changes its mappings")
  struct ChurnTests {
    /// For how long in all; a night has room for more than CI.
    private static let seconds =
      ProcessInfo.processInfo.environment["SLUICE_CHURN_SECONDS"].flatMap { Double($0) } ?? 12

    private static let ways: [Way] = RacingRuns.pageStatesOfThisKernel.flatMap { pageStates in
      [
        Way { $0.pageStates = pageStates },
        Way {
          $0.pageStates = pageStates
          $0.readers = 3
          $0.memoryBudget = 1 << 20
        },
      ]
    }

    @Test(arguments: ways)
    func copiesWhatStandsStill(way: Way) async throws {
      let vmas = 300
      let share = Duration.seconds(Self.seconds / Double(Self.ways.count))
      try await MemoryTarget.run(["--size", "2M", "--vmas", "\(vmas)", "--churn", "3"]) { target in
        let still = try #require(target.range("vmas"))
        let churn = try #require(target.range("churn"))
        let end = ContinuousClock.now + share
        var (copies, changed, vanished) = (0, 0, UInt64(0))
        repeat {
          try await withTemporaryDirectory { directory in
            var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/images")
            way.choose(&configuration)
            let report = try await PreDump(configuration).run()
            #expect(report.pagesScanned == report.pagesWritten + report.pagesVanished)
            try await target.program.stop()
            // Not all of it stands still: --live, though it does now.
            let comparison = try await ImageComparison.run(
              pid: target.pid, images: configuration.imagesDirectory, options: ["--live", "--list"])
            target.program.resume()
            let mappings = comparison.mappings
            let stills = mappings.filter { still.contains($0.start) }
            #expect(stills.count == vmas, "\(comparison)")
            #expect(stills.allSatisfy { $0.equal == 1 && $0.expected == 1 }, "\(comparison)")
            #expect(comparison.counts["form_errors"] == 0, "\(comparison)")
            changed += mappings.filter { churn.contains($0.start) }.reduce(0) { $0 + $1.expected - $1.equal }
            vanished += report.pagesVanished
            copies += 1
          }
        } while ContinuousClock.now < end
        print("churn: \(copies) copies, \(vanished) pages vanished, \(changed) differed a moment later")
        #expect(changed > 0, "else nothing was changed, and nothing was tried")
        try await target.check()
      }
    }
  }
}
