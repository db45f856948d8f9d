import ArgumentParser
import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

/// What README.md, docs and the manual tell people to type.
@Suite("The documents", .timeLimit(.minutes(15)))
struct DocumentsTests {
  static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../..").standardized

  /// The texts, with their names.
  private static func documents() throws -> [(name: String, text: String)] {
    let manager = FileManager.default
    let folders = ["docs", "docs/man"]
    let files = try folders.flatMap { folder in
      try manager.contentsOfDirectory(atPath: root.appending(path: folder).path).map { "\(folder)/\($0)" }
    }
    return try (["README.md"] + files.filter { $0.hasSuffix(".md") || $0.hasSuffix(".man") }).sorted().map {
      ($0, try String(contentsOf: root.appending(path: $0), encoding: .utf8))
    }
  }

  /// The commands of a text: those in blocks, one a line.
  private static func commands(in text: String) -> [String] {
    var (commands, isInBlock, unfinished) = ([String](), false, "")
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      if line.drop(while: { $0 == " " }).hasPrefix("```") || [".nf", ".fi"].contains(line) {
        isInBlock = line == ".nf" || (line != ".fi" && !isInBlock)
        continue
      }
      guard isInBlock else { continue }
      // roff's hyphens, quotes and backslashes.
      let plain = line.replacingOccurrences(of: "\\-", with: "-").replacingOccurrences(of: "\\(aq", with: "'")
        .replacingOccurrences(of: "\\\\", with: "\\")
      unfinished += plain
      if unfinished.hasSuffix("\\") {
        unfinished.removeLast()
        continue
      }
      commands.append(unfinished)
      unfinished = ""
    }
    return commands
  }

  /// The words behind each `sluice` of a line, as far as its command goes.
  private static func calls(in line: String) -> [[String]] {
    // What is in quotes is another's, such as the command of --then; what is behind a hash is a comment.
    let parts = line.split(separator: "'", omittingEmptySubsequences: false)
    let unquoted = parts.indices.filter { $0.isMultiple(of: 2) }.map { parts[$0] }.joined(separator: "X")
    let words = unquoted.split(separator: " ").map(String.init).prefix { $0 != "#" }
    return words.indices.filter { words[$0] == "sluice" && $0 + 1 < words.endIndex }.map { index in
      words[(index + 1)...].prefix { !["|", "&&", "||", ";", "&"].contains($0) }.map { $0 }
    }
  }

  /// The options that a command's help names.
  private static func options(of command: String) async throws -> Set<String> {
    let help = try await SluiceCommandLine.run(["help", command]).output
    let lines = help.split(separator: "\n").filter { $0.hasPrefix("  -") }
    let words = lines.flatMap { $0.split(whereSeparator: { [",", " ", "/"].contains($0) }).map(String.init) }
    return Set(words.filter { $0.hasPrefix("-") })
  }

  @Test func nameCommandsAndOptionsThatThereAre() async throws {
    let names = Set(SluiceCommand.configuration.subcommands.compactMap { $0.configuration.commandName })
    var known: [String: Set<String>] = [:]
    for name in names { known[name] = try await Self.options(of: name) }
    var count = 0
    for (document, text) in try Self.documents() {
      for line in Self.commands(in: text) {
        for call in Self.calls(in: line) {
          let command = try #require(call.first)
          guard names.contains(command) else {
            Issue.record("\(document): there is no such command: \(line)")
            continue
          }
          count += 1
          for option in call.dropFirst() where option.hasPrefix("-") && option != "-" {
            let name = String(option.prefix { $0 != "=" })
            #expect(known[command]?.contains(name) == true, "\(document): \(line)")
          }
        }
      }
    }
    #expect(count > 20, "else the commands are not found")
  }

  @Test func readsTheCommandsOfATextAsTheyAre() {
    let text =
      "a\n```sh\nsudo sluice show a \\\n  --map   # sluice no\n```\nsluice no\n.nf\nsluice check \\-t 1 && sluice top \\-t 1\n.fi"
    let calls = Self.commands(in: text).flatMap { Self.calls(in: $0) }
    #expect(calls == [["show", "a", "--map"], ["check", "-t", "1"], ["top", "-t", "1"]])
    #expect(
      Self.calls(in: "sluice pre-dump --then 'sluice x --y' -v") == [["pre-dump", "--then", "X", "-v"]])
  }
}
