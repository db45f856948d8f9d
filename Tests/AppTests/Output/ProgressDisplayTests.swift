import Foundation
import Testing

@testable import Sluice
@testable import sluice

@Suite("Progress display", .timeLimit(.minutes(15)))
struct ProgressDisplayTests {
  private func progress(_ written: UInt64, of expected: UInt64, after microseconds: UInt64) -> PreDumpProgress
  {
    PreDumpProgress(
      phase: .copying, bytesWritten: written, bytesExpected: expected,
      elapsed: .microseconds(Int64(microseconds)))
  }

  @Test(arguments: 20...200)
  func fitsIntoEveryTerminal(width: Int) {
    let states: [(UInt64, UInt64, UInt64)] = [
      (0, 0, 0), (0, 1 << 30, 0), (1, 1 << 30, 1), (1 << 29, 1 << 30, 1_000_000), (1 << 30, 1 << 30, 1),
      (1 << 45, 1 << 46, 3_600_000_000), (1, 1 << 46, 3_600_000_000),
    ]
    for (written, expected, microseconds) in states {
      let line = ProgressDisplay.line(
        for: progress(written, of: expected, after: microseconds), width: width)
      // The last column stays free: a terminal that wraps there could not go back to the line's start.
      #expect(line.count < width, "\(line)")
      #expect(line.contains("%"))
    }
  }

  @Test func saysHowFarAndHowFast() {
    let line = ProgressDisplay.line(for: progress(1 << 29, of: 1 << 30, after: 1_000_000), width: 100)
    #expect(line.contains("50%"))
    #expect(line.contains("512 MiB, 512 MiB/s, 1 s left"))
    let bar = line.prefix(while: { $0 != "]" })
    #expect(bar.count { $0 == "#" } == bar.count { $0 == "." })
  }

  @Test func saysWhichRoundItIsAndWhatItDoes() {
    var state = progress(700 << 10, of: 700 << 10, after: 200_000)
    state.round = 2
    // How much there is to do is not known: a share of all memory would be nonsense.
    #expect(ProgressDisplay.line(for: state, width: 100) == "round 2: 700 KiB, 3.4 MiB/s")
    state.phase = .stopped
    #expect(ProgressDisplay.line(for: state, width: 100) == "round 2: 700 KiB, 3.4 MiB/s, process stopped")
    state.phase = .preparing
    #expect(ProgressDisplay.line(for: state, width: 100) == "round 2: looking for pages to copy")
    state.phase = .publishing
    #expect(ProgressDisplay.line(for: state, width: 20).count < 20)
    var first = progress(1 << 29, of: 1 << 30, after: 1_000_000)
    first.round = 1
    #expect(ProgressDisplay.line(for: first, width: 100).hasPrefix("round 1: [###"))
    for width in 20...100 { #expect(ProgressDisplay.line(for: first, width: width).count < width) }
  }

  @Test func isOneJSONObject() throws {
    let line = ProgressDisplay.jsonLine(for: progress(10, of: 20, after: 2_000_000))
    let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    #expect(object["phase"] as? String == "copying")
    #expect(
      object.compactMapValues { $0 as? Int } == [
        "bytes_written": 10, "bytes_expected": 20, "bytes_per_second": 5, "elapsed_us": 2_000_000, "tries": 1,
      ])
    var second = progress(10, of: 20, after: 2_000_000)
    second.round = 2
    let other = try JSONSerialization.jsonObject(with: Data(ProgressDisplay.jsonLine(for: second).utf8))
    #expect((other as? [String: Any])?["round"] as? Int == 2)
  }

  @Test func saysThatARoundWasBegunAgain() {
    var again = progress(1 << 29, of: 1 << 30, after: 1_000_000)
    #expect(!ProgressDisplay.line(for: again, width: 100).contains("try"))
    again.tries = 2
    #expect(ProgressDisplay.line(for: again, width: 100).hasSuffix("1 s left, try 2"))
    #expect(ProgressDisplay.jsonLine(for: again).contains("\"tries\":2"))
  }
}
