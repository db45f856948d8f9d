import Foundation
import SluiceTestSupport
import Testing

/// `sluice dedup`, and `--auto-dedup`.
@Suite("sluice dedup", .timeLimit(.minutes(15)))
struct DedupCommandTests {
  private static let rounds = [
    "--rounds", "3", "--until-pages", "0", "--until-skipped", "100", "--max-growth", "1000000",
    "--auto-dedup",
  ]

  /// Runs the command with every fallocate(2) failing.
  private func run(_ arguments: [String], failingWith errno: String) async throws -> CommandResult {
    try await Command(
      installed: "strace",
      [
        "-f", "-o", "/dev/null", "-e", "trace=fallocate", "-e", "inject=fallocate:error=\(errno)", "--",
        try Command.builtPath("sluice"),
      ] + arguments
    ).run()
  }

  @Test func saysOfTheOlderImagesThatTheyAreNotWhole() async throws {
    try await MemoryTarget.run(["--size", "4M", "--random", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { images in
        let made = try await SluiceCommandLine.preDump(pid: target.pid, images: images, Self.rounds)
        #expect(made.end == .exited(0), "\(made.errors)")
        #expect(!made.errors.contains("warning"), "\(made.errors)")
        #expect(try await SluiceCommandLine.run(["verify", "-D", "\(images)/3"]).end == .exited(0))
        for number in 1...2 {
          let verified = try await SluiceCommandLine.run(["verify", "-D", "\(images)/\(number)"])
          #expect(verified.end == .exited(65), "\(verified.output)")
          #expect(verified.output.contains("'sluice dedup' has removed"), "\(verified.output)")
          let shown = try await SluiceCommandLine.run(["show", "\(images)/\(number)"])
          #expect(shown.output.contains("  NOT WHOLE: "), "\(shown.output)")
          let object = try jsonObject(
            try await SluiceCommandLine.run(["show", "\(images)/\(number)", "--json"]).output)
          #expect((object["deduplicated"] as? String)?.contains("'sluice dedup' has removed") == true)
          expectFailure(
            try await SluiceCommandLine.run(["flatten", "-D", "\(images)/\(number)", "-o", "\(images)/flat"]),
            code: 65, saying: "'sluice dedup' has removed")
        }
        #expect(
          try await SluiceCommandLine.run(["flatten", "-D", "\(images)/3", "-o", "\(images)/flat"]).end
            == .exited(0))
      }
      try await target.check()
    }
  }

  /// The rounds are complete, whatever the filesystem thinks of holes.
  @Test(arguments: ["EOPNOTSUPP", "ENOSPC", "EPERM"])
  func loseNothingWhereNoSpaceCanBeGivenBack(errno: String) async throws {
    try await MemoryTarget.run(["--size", "1M", "--random", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { images in
        let made = try await run(
          ["pre-dump", "-t", "\(target.pid)", "-D", images] + Self.rounds, failingWith: errno)
        #expect(made.end == .exited(0), "\(made.errors)")
        let warnings = made.errorLines.filter { $0.hasPrefix("sluice: warning: ") && $0.contains(errno) }
        #expect(warnings.count == 2, "\(made.errors)")
        for number in 1...3 {
          #expect(looksFinished("\(images)/\(number)"))
          let verified = try await SluiceCommandLine.run(["verify", "-D", "\(images)/\(number)"])
          #expect(verified.end == .exited(0), "nothing was taken from it: \(verified.output)")
        }
        let alone = try await run(["dedup", "-D", "\(images)/3"], failingWith: errno)
        #expect(alone.end == .exited(74), "\(alone.errors)")
        #expect(alone.errorLines.count == 1 && alone.errors.contains(errno), "\(alone.errors)")
      }
    }
  }
}
