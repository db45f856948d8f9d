import Foundation
import SluiceTestSupport
import Testing

@testable import Sluice
@testable import sluice

@Suite("sluice top", .timeLimit(.minutes(15)))
struct TopViewTests {
  private func report(pages: UInt64, mappings: Int) throws -> DirtyRate.Report {
    let list = (0..<mappings).map { index in
      """
      {"pid": 12, "start": "0x7f00000\(10000 + index)000", "end": "0x7f00000\(20000 + index)000",
       "name": "/a/long/path/of/a/mapping/that/is/wider/than/most/terminals/\(index)", "pages": \(index), "pages_per_second": \(index).4}
      """
    }.joined(separator: ",")
    let text = """
      {"pid": 12, "windows": [{"pages": \(pages), "seconds": 1.0}], "total_pages": 100000, "page_size": 4096,
       "mappings": [\(list)], "tracker": "write-protect", "processes": 1, "joined_gap": 0,
       "pages_per_second": \(pages), "bytes_per_second": \(pages * 4096)}
      """
    return try JSONDecoder().decode(DirtyRate.Report.self, from: Data(text.utf8))
  }

  @Test(arguments: [(80, 24), (200, 50), (40, 10), (20, 3)]) func fitsIntoTheTerminal(width: Int, height: Int)
    throws
  {
    var view = TopView(copyRate: 1 << 30)
    for pages in [0, 5, 3000, 100] as [UInt64] {
      let lines = view.lines(adding: try report(pages: pages, mappings: 60), width: width, height: height)
      #expect(lines.count < height || height == 1)
      #expect(lines.allSatisfy { $0.count <= width }, "\(lines)")
    }
  }

  @Test func saysHowMuchIsWrittenAndWhere() throws {
    var view = TopView(copyRate: 1 << 30)
    _ = view.lines(adding: try report(pages: 0, mappings: 0), width: 200, height: 24)
    let lines = view.lines(adding: try report(pages: 256, mappings: 3), width: 200, height: 24)
    #expect(lines[0].hasPrefix("process 12: 390.6 MiB of private memory"))
    #expect(lines[1] == "wrote to 256 different pages (1 MiB) in 1.00 s")
    #expect(lines[2] == "[ @] over time, at most 1 MiB/s")
    #expect(lines[3].hasPrefix("a pre-dump now: ") && lines[3].contains(" in all, stopped for "))
    // Those that are written most come first.
    #expect(lines[6].hasSuffix("/2") && lines[8].hasSuffix("/0"), "\(lines)")
    let quiet = view.lines(adding: try report(pages: 0, mappings: 0), width: 200, height: 24)
    #expect(quiet.contains("nothing was written"))
  }

  /// On a terminal, which is as it was when it ends.
  @Test(.enabled(if: Kernel.isAtLeast(6, 7))) func leavesTheTerminalAsItWas() async throws {
    try await MemoryTarget.run(["--size", "2M", "--write-rate", "1000"]) { target in
      let sluice = try Command.builtPath("sluice")
      let line =
        "stty rows 24 cols 80; timeout -s INT 2 \(sluice) top -t \(target.pid) -d 0.2; echo; echo \"ended with $?\"; stty -a"
      let shown = try await Command(installed: "script", ["-qec", line, "/dev/null"]).run().output
      #expect(shown.contains("\u{1B}[?1049h") && shown.contains("different pages"), "\(shown)")
      let (open, close) = ("\u{1B}[?25h\u{1B}[?1049l", shown.split(separator: "ended with").last ?? "")
      #expect(shown.contains(open), "\(shown)")
      #expect(close.contains(" echo ") && close.contains(" icanon "), "\(close)")
      try await target.check()
    }
    let alone = try await SluiceCommandLine.run(["top", "-t", "1"])
    expectFailure(alone, code: 64, saying: "top needs a terminal")
  }
}
