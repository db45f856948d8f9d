import SluiceTestSupport
import Testing

@testable import Sluice

/// Rounds of a process as tests make them: as many as they say, whatever is written meanwhile.
struct WholeRounds {
  /// Ends nothing early.
  static func policy(rounds count: Int) -> RoundPolicy {
    var policy = RoundPolicy()
    (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (count, 0, 100.5)
    policy.maxGrowthPages = 1 << 40
    return policy
  }

  /// Makes rounds.
  ///
  /// - Parameters:
  ///   - last: what becomes of the process in the last one; nil where that is like the others.
  ///   - after: is done after each, whose number it gets.
  /// - Returns: what they reported.
  static func run(
    _ configuration: PreDump.Configuration, rounds count: Int,
    last: PreDumpRounds.LastRound? = .leavesStopped,
    after: (Int) async throws -> Void = { _ in }
  ) async throws -> [PreDumpReport] {
    var rounds = try RoundSequence(configuration, policy: policy(rounds: count), lastRound: last)
    var reports: [PreDumpReport] = []
    while let round = try await rounds.next() {
      let report = try await round.run()
      rounds.ended(report)
      reports.append(report)
      try await after(reports.count)
    }
    return reports
  }
}

extension StagesTests {
  /// That images hold exactly the memory of a stopped process.
  static func expectEqual(
    _ pid: Int32, _ images: String, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    let comparison = try await ImageComparison.run(pid: pid, images: images)
    #expect(comparison.isEqual, "\(comparison)", sourceLocation: sourceLocation)
  }
}
