import Foundation
import SluiceTestSupport
import Testing

/// What the documents tell people to type works as it stands there.
@Suite("Commands in the documents", .timeLimit(.minutes(15)))
struct DocumentedCommandsTests {
  /// Commands that are not run here, by how they begin, and why.
  private static let left: [(start: String, reason: String)] = [
    ("make ", "it makes and installs the program that is tried here"),
    ("criu ", "it takes a kernel with soft-dirty bits and ends the process: Tests/Interop runs it"),
    ("mkdir images/2", "it is for the dump of CRIU"), ("mkdir images/dump", "it is for the dump of CRIU"),
    ("last=", "it is for the dump of CRIU"), ("rsync ", "it copies the files of the dump of CRIU"),
  ]

  /// The commands of each block of a document, one a line, as a user who is root types them.
  private static func blocks(of document: String) throws -> [[String]] {
    let text = try String(contentsOf: DocumentsTests.root.appending(path: document), encoding: .utf8)
    let parts = text.components(separatedBy: "```")
    // Every other part is between the marks of a block, and begins with the language.
    let blocks = parts.indices.filter { !$0.isMultiple(of: 2) && parts[$0].hasPrefix("sh\n") }.map {
      parts[$0].dropFirst(3).replacingOccurrences(of: "\\\n", with: " ")
    }
    return blocks.map { block in
      block.split(separator: "\n").compactMap { line in
        let command = line.components(separatedBy: "   #")[0].trimmingCharacters(in: .whitespaces)
        guard !command.isEmpty else { return nil }
        return command.hasPrefix("sudo ") ? String(command.dropFirst("sudo ".count)) : command
      }
    }
  }

  private static func isRun(_ command: String) -> Bool {
    !left.contains { command.hasPrefix($0.start) }
  }

  /// Runs commands one after the other, and expects that each succeeds.
  private func run(
    _ commands: [String], on pid: Int32, in directory: String, replacing words: [(String, String)] = []
  ) async throws {
    for command in commands {
      var line = command
      for (word, replacement) in words + [("PID", "\(pid)")] {
        line = line.replacingOccurrences(of: word, with: replacement)
      }
      // It would wait for commands.
      if line.hasPrefix("gdb ") { line = "gdb -batch -ex 'info threads' " + line.dropFirst("gdb ".count) }
      // The program that is tried comes first in the path.
      let path = "PATH=\"${1%/*}:$PATH\"; cd \"$2\" || exit; "
      let result = try await Command(
        "/bin/sh", ["-c", path + line, "sh", Command.builtPath("sluice"), directory]
      ).run()
      #expect(result.end == .exited(0), "\(line): \(result.output)\(result.errors)")
      if line.hasPrefix("gdb") { #expect(result.output.contains("Thread"), "\(result.output)") }
    }
  }

  @Test(.needsRoot, arguments: ["docs/getting-started.md", "docs/rounds.md", "docs/core-dumps.md"])
  func work(document: String) async throws {
    let blocks = try Self.blocks(of: document).map { $0.filter(Self.isRun) }.filter { !$0.isEmpty }
    try #require(!blocks.isEmpty)
    for block in blocks {
      try await MemoryTarget.run(["--size", "4M", "--write-rate", "500"]) { target in
        try await withTemporaryDirectory { directory in
          try await run(block, on: target.pid, in: directory)
          try await target.check()
        }
      }
    }
  }

  /// The server's block runs until the client's has ended.
  @Test(.needsRoot) func workForAPageServer() async throws {
    let blocks = try Self.blocks(of: "docs/page-server.md").map { $0.filter(Self.isRun) }
    let server = try #require(blocks.first?.first)
    try #require(server.hasPrefix("sluice page-server --serve "))
    let client = blocks.dropFirst().flatMap { $0 }
    try #require(client.contains { $0.hasPrefix("sluice pre-dump ") })
    try await withTemporaryDirectory { directory in
      let words = server.replacingOccurrences(of: "/var/lib/sluice", with: "\(directory)/server")
        .replacingOccurrences(of: " --port 9876", with: "").split(separator: " ").map(String.init)
      try await RunningPageServer.run(Array(words.dropFirst(2))) { server in
        try await MemoryTarget.run(["--size", "4M", "--write-rate", "500"]) { target in
          try await run(
            client, on: target.pid, in: directory,
            replacing: [("10.0.0.2", "127.0.0.1"), ("9876", "\(server.port)")])
          try await target.check()
        }
      }
      // By the name that the document has for it, with another address.
      #expect(names(in: "\(directory)/server")?.contains("127.0.0.1-1") == true)
    }
  }

  /// A reason for something that no document says any more would hide the next mistake.
  @Test func areLeftOutForAReasonThatHolds() throws {
    let documents = ["getting-started", "rounds", "core-dumps", "page-server"]
    let commands = try documents.flatMap { try Self.blocks(of: "docs/\($0).md").flatMap { $0 } }
    for (start, _) in Self.left { #expect(commands.contains { $0.hasPrefix(start) }, "\(start)") }
    #expect(commands.filter(Self.isRun).count > 8)
  }
}
