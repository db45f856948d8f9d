import SluiceTestSupport
import Testing

/// Actors of every kind call the library, in a program of their own: what is wrong there ends it.
@Suite(.timeLimit(.minutes(15))) struct EmbedderTests {
  private static let isolations = [
    "main-actor", "actor", "global-actor", "custom-executor", "detached", "actor",
  ]

  @Test(arguments: ["embedder", "embedder-concurrent"])
  func `everything asynchronous comes back to whatever actor calls it`(program: String) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let result = try await Command(built: program, ["\(target.pid)", directory]).run()
        #expect(result.end == .exited(0), "\(result.output)\(result.errors)")
        let calls = ["pre-dump", "rounds", "flatten", "contents", "dirty-rate"]
        let expected = Self.isolations.flatMap { isolation in calls.map { "\(isolation): \($0)\n" } }
        #expect(result.output == expected.joined())
      }
      try await target.check()
    }
  }
}
