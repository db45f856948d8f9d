import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// A process that executes another program in the middle of a round, at any moment of it: the round is made again.
  @Suite("Execution in the middle of a round", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct ExecutionInRoundTests {
    @Test(arguments: ExecutingRounds.Variant.allCases)
    func hasTheRoundMadeAgain(variant: ExecutingRounds.Variant) async throws {
      try await withTemporaryDirectory { directory in
        let report = "\(directory)/report"
        await #expect(processExitsWith: .success) { [variant, report = report as String] in
          await ExecutingRounds.run(variant, reportingTo: report)
        }
        let text = OwnProcess.reported(at: report)
        print("execution in the \(variant): \(text)")
        let again = text.firstMatch(of: /as they must be, (\d+) with/).flatMap { Int($0.1) }
        #expect(again ?? 0 >= 5, "\(text)")
      }
    }

    @Test func endsTheRoundsWhenItHappensInEachTry() async throws {
      try await withTemporaryDirectory { directory in
        let report = "\(directory)/report"
        await #expect(processExitsWith: .success) { [report = report as String] in
          await ExecutingRounds.runInVain(reportingTo: report)
        }
        let text = OwnProcess.reported(at: report)
        #expect(text.contains("round 2 was tried 4 times, and each time the process executed"), "\(text)")
        #expect(text.contains("executed another program (exe)"), "\(text)")
      }
    }
  }
}
