import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// A process goes on while it is copied, and changes under our hands. What was really read is what the images
  /// say, or the copy fails with the reason.
  @Suite("Races with a pre-dump")
  struct RaceTests {
    @Test(arguments: RacingRuns.Moment.allCases)
    func areWonOrReported(moment: RacingRuns.Moment) async throws {
      try await withTemporaryDirectory { directory in
        let report = "\(directory)/report"
        await #expect(processExitsWith: .success) { [moment, report = report as String] in
          await RacingRuns.run(at: moment, reportingTo: report)
        }
        expectGood(report)
      }
    }

    /// It ends, executes another program, or loses its main thread, before each system call of a copy in turn.
    @Test(arguments: EndingRuns.ways)
    func areWonOrReportedWheneverTheProcessEnds(way: Int) async throws {
      try await withTemporaryDirectory { directory in
        let report = "\(directory)/report"
        await #expect(processExitsWith: .success) { [way, report = report as String] in
          await EndingRuns.run(way: way, reportingTo: report)
        }
        expectGood(report)
      }
    }

    private func expectGood(_ report: String) {
      let text = OwnProcess.reported(at: report)
      print("races: \(text)")
      if !text.contains("as they must be") { Issue.record("\(text)") }
    }
  }
}
