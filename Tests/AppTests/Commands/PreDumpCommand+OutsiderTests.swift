import Foundation
import SluiceTestSupport
import Testing

/// A process that is not below the one to copy, and shares its memory (CLONE_VM).
@Suite("sluice: a memory that is shared outside of the tree", .timeLimit(.minutes(15)))
struct OutsiderTests {
  private static let wholeRounds = ["--until-pages", "0", "--max-growth", "1000000"]

  private func run(_ body: (RelationTarget, String) async throws -> Void) async throws {
    try await RelationTarget.run(.outside) { target in
      try await withTemporaryDirectory { try await body(target, $0) }
    }
  }

  @Test func isToldInEveryRound() async throws {
    try await run { target, directory in
      let result = try await SluiceCommandLine.preDump(
        pid: target.tree, images: "\(directory)/chain", ["--rounds", "3"] + Self.wholeRounds)
      #expect(result.end == .exited(0), "\(result.errors)")
      let told = result.errorLines.filter { $0.contains("process \(target.other)") && $0.contains("shares") }
      #expect(told.count == 3, "\(result.errors)")
    }
  }

  @Test func hasTheLastRoundRefusedBeforeAnythingIsStopped() async throws {
    try await run { target, directory in
      let result = try await SluiceCommandLine.preDump(
        pid: target.tree, images: "\(directory)/chain",
        ["--rounds", "2", "--final", "--leave-stopped"] + Self.wholeRounds)
      #expect(result.end == .exited(64), "\(result.errors)")
      #expect(result.errors.contains("process \(target.other)"), "\(result.errors)")
      #expect(names(in: "\(directory)/chain/1")?.contains("inventory.img") == true)
      #expect(names(in: "\(directory)/chain/2") == nil)
      for pid in [target.owner, target.other] {
        let state = try TargetState(pid)
        #expect(state.tracer == 0)
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        #expect(!status.contains("State:\tT") && !status.contains("State:\tt"))
      }
      // Of the process that both are below it is made.
      let whole = try await SluiceCommandLine.preDump(
        pid: target.program.pid, images: "\(directory)/whole", ["--rounds", "1", "--final"])
      #expect(whole.end == .exited(0), "\(whole.errors)")
    }
  }

  @Test func isFoundByCheckAndHasVerifyRefuse() async throws {
    try await run { target, directory in
      let check = try await SluiceCommandLine.run(["check", "-t", "\(target.tree)", "--json"])
      #expect(check.end == .exited(0), "\(check.errors)")
      let findings = try #require(try jsonObject(check.output)["findings"] as? [[String: Any]])
      let finding = try #require(findings.first { $0["subject"] as? String == "CLONE_VM" })
      #expect(finding["available"] as? Bool == false)
      #expect((finding["found"] as? String)?.contains("process \(target.other)") == true, "\(finding)")
      let images = "\(directory)/images"
      let copied = try await SluiceCommandLine.preDump(pid: target.tree, images: images)
      #expect(copied.end == .exited(0), "\(copied.errors)")
      let verify = try await SluiceCommandLine.run(["verify", "-D", images, "-t", "\(target.tree)"])
      #expect(verify.end == .exited(64), "\(verify.errors)")
      #expect(verify.errors.contains("process \(target.other)"), "\(verify.errors)")
    }
  }
}
