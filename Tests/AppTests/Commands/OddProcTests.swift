import Foundation
import SluiceTestSupport
import Testing

/// A /proc without what is not a process', and times that are not the machine's.
@Suite("/proc and time namespaces", .timeLimit(.minutes(15)))
struct OddProcTests {
  /// Runs sluice by a shell in new namespaces.
  private func run(_ namespaces: [String], _ before: String, _ arguments: [String]) async throws
    -> CommandResult
  {
    try await Command(
      installed: "unshare",
      namespaces + ["sh", "-c", "\(before) exec \"$0\" \"$@\"", try Command.builtPath("sluice")] + arguments
    ).run()
  }

  private func skippedPages(_ result: CommandResult) throws -> Int {
    #expect(result.end == .exited(0), "\(result.errors)")
    return try #require(try jsonObject(result.output)["pages_skipped_parent"] as? Int)
  }

  /// Rounds of one process, which builds on nothing that was made before the machine was restarted.
  private func expectRoundsToBuild(_ namespaces: [String], _ before: String) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        func round(_ number: Int, inNamespaces isInside: Bool) async throws -> Int {
          var arguments = [
            "pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/\(number)", "--tracker", "content",
            "--json",
          ]
          if number > 1 { arguments += ["--prev-images-dir", "../\(number - 1)"] }
          let result =
            isInside
            ? try await run(namespaces, before, arguments) : try await SluiceCommandLine.run(arguments)
          #expect(!result.errors.contains("restarted"), "\(result.errors)")
          return try skippedPages(result)
        }
        let first = try await round(1, inNamespaces: false)
        let second = try await round(2, inNamespaces: true)
        let third = try await round(3, inNamespaces: true)
        let fourth = try await round(4, inNamespaces: false)
        #expect(first == 0)
        for skipped in [second, third, fourth] { #expect(skipped > 0) }
      }
      try await target.check()
    }
  }

  @Test func roundsBuildOnThoseOfAnotherTimeNamespace() async throws {
    try await expectRoundsToBuild(["-T", "--boottime", "100000"], "")
  }

  private static let onlyProcesses = "mount -t proc -o subset=pid proc /proc &&"

  @Test func roundsBuildWhereProcHasOnlyProcesses() async throws {
    try await expectRoundsToBuild(["-m"], Self.onlyProcesses)
  }

  @Test func checkWorksWhereProcHasOnlyProcesses() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let plain = try await SluiceCommandLine.run(["check", "-t", "\(target.pid)"])
      let odd = try await run(["-m"], Self.onlyProcesses, ["check", "-t", "\(target.pid)"])
      #expect(odd.end == plain.end)
      #expect(odd.output == plain.output)
    }
  }
}
