import Foundation
import SluiceTestSupport
import Testing

@Suite("sluice pre-dump: rounds", .timeLimit(.minutes(15)))
struct RoundsCommandTests {
  @Test func aProcessThatExecutesProgramsAllTheWhileIsGivenUp() async throws {
    try await withTemporaryDirectory { directory in
      let script = "\(directory)/again"
      try "exec /bin/sh \"$0\"\n".write(toFile: script, atomically: false, encoding: .utf8)
      try await withProgram(Command("/bin/sh", [script])) { program in
        let result = try await SluiceCommandLine.preDump(
          pid: program.pid, images: "\(directory)/images", ["--rounds", "3", "--json"])
        #expect(result.end == .exited(75), "\(result.errors)")
        #expect(result.output.isEmpty, "no round was completed")
        let lines = result.errorLines
        let again = lines.filter { $0.contains("round 1 is made again (try ") }
        #expect(again.count == 3 && lines.count == 4, "\(lines)")
        #expect(lines.last?.hasPrefix("sluice: round 1 was begun 4 times") == true, "\(lines)")
        #expect(names(in: "\(directory)/images") == [])
        #expect(kill(program.pid, 0) == 0, "it goes on")
      }
    }
  }
}
