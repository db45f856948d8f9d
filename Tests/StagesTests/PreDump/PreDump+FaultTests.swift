import Foundation
import SluiceTestSupport
import Testing

extension StagesTests {
  /// Thousands of runs in which system calls fail, are interrupted, come short or take their time, and which are
  /// cancelled: none hangs, harms the process, loses a buffer, or leaves anything that looks finished.
  @Suite("Faults in a pre-dump")
  struct FaultTests {
    /// For how long in all, pre-dumps by themselves and rounds each; a night has room for more than CI.
    private static let seconds =
      ProcessInfo.processInfo.environment["SLUICE_FAULT_SECONDS"].flatMap { Double($0) } ?? 30

    /// All, or the one that is to be had again (with SLUICE_FAULT_SEED).
    private static let kinds =
      ProcessInfo.processInfo.environment["SLUICE_FAULT_KIND"].map { name in
        FaultyRuns.Kind.allCases.filter { $0.rawValue == name }
      } ?? FaultyRuns.Kind.allCases

    private static let roundParts = [FaultyRuns.Part.firstRound, .laterRound, .lastRound]

    @Test(arguments: kinds)
    func areSurvivedOrReported(kind: FaultyRuns.Kind) async throws {
      try await run(kind, in: .single, for: Self.seconds / Double(Self.kinds.count))
    }

    /// The process is watched no longer afterwards, and what the round was built on is whole, or known not to be.
    @Test(.enabled(if: Kernel.isAtLeast(6, 7)), arguments: roundParts, kinds)
    func areSurvivedOrReportedInRounds(part: FaultyRuns.Part, kind: FaultyRuns.Kind) async throws {
      try await run(kind, in: part, for: Self.seconds / Double(Self.roundParts.count * Self.kinds.count))
    }

    private func run(
      _ kind: FaultyRuns.Kind, in part: FaultyRuns.Part, for share: Double
    ) async throws {
      try await withTemporaryDirectory { directory in
        // What a process has written to its standard error is not told of one that ended in failure.
        let report = "\(directory)/report"
        await #expect(processExitsWith: .success) {
          [kind, part, share = share as Double, report = report as String] in
          await FaultyRuns.run(kind, in: part, for: .seconds(share), reportingTo: report)
        }
        let text = OwnProcess.reported(at: report)
        print("faults, \(kind), \(part): \(text)")
        if !text.contains(" runs: ") { Issue.record("\(text)") }
      }
    }
  }
}
