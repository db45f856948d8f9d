import Foundation
import Sluice
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
        let notes = lines.filter { $0.hasPrefix("sluice: note: ") }
        #expect(again.count == 3 && lines.count == 4 + notes.count, "\(lines)")
        #expect(lines.last?.hasPrefix("sluice: round 1 was tried 4 times") == true, "\(lines)")
        #expect(names(in: "\(directory)/images") == [])
        #expect(kill(program.pid, 0) == 0, "it goes on")
      }
    }
  }

  /// Which tracker there is, where each round is, whether CRIU can build on it, and what ended the rounds.
  @Test func everyRoundSaysWhereItIsAndWhatCanBuildOnIt() async throws {
    let hasSoftDirty = try await Capabilities.keepsSoftDirtyBits()
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/chain/images"
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--rounds", "2", "--tracker", "content"])
        #expect(result.end == .exited(0), "\(result.errors)")
        let rounds = result.errorLines.filter { $0.hasPrefix("sluice: round ") }
        #expect(!rounds.isEmpty)
        for (number, line) in rounds.enumerated() {
          #expect(line.contains("into \(images)/\(number + 1); nothing was stopped"), "\(line)")
        }
        #expect(
          rounds.last?.contains("no more rounds: ") == true)
        #expect(result.errors.contains("sluice: tracker: content"), "\(result.errors)")
        #expect(result.errorLines.last == "sluice: newest images: \(images)/\(rounds.count)")
        let first = result.errorLines.first ?? ""
        #expect(first.contains("'criu dump' cannot build on these rounds") == !hasSoftDirty, "\(first)")

        // Whoever names the directory around them is told what to name.
        for command in [
          ["show", images], ["verify", "-D", images], ["dedup", "-D", images],
          ["flatten", "-D", images, "-o", "\(directory)/flat"],
        ] {
          expectFailure(
            try await SluiceCommandLine.run(command), code: 66,
            saying: "name the newest, \(images)/\(rounds.count)")
        }
        #expect(names(in: directory) == ["chain"])
      }
    }
  }

  /// Where CRIU could not build on the rounds, none is made.
  @Test func aDumpThatCannotBuildOnThemIsRefusedBefore() async throws {
    guard try await !Capabilities.keepsSoftDirtyBits() else { return }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let command = "criu dump -t {pid} -D {dir} --track-mem --prev-images-dir {parent}"
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/images", ["--rounds", "2", "--then", command])
        expectFailure(result, code: 71, saying: "CONFIG_MEM_SOFT_DIRTY")
        #expect(names(in: directory) == [])
      }
    }
  }
}
