import ArgumentParser
import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

@Suite("The manual and the completions", .timeLimit(.minutes(15)))
struct ManualTests {
  private static let script = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../../scripts/make-manual").standardized.path

  /// Makes the pages, and runs `body` with the directory that they are in.
  private func withManual(_ body: (String) async throws -> Void) async throws {
    try await withTemporaryDirectory { directory in
      let made = try await Command(Self.script, [try Command.builtPath("sluice"), directory]).run()
      #expect(made.end == .exited(0), "\(made.errors)")
      try await body(directory)
    }
  }

  /// A page as a reader sees it, its lines joined: a word may stand at the end of one.
  private func text(of page: String) async throws -> String {
    let shown = try await Command(
      installed: "groff", ["-man", "-ww", "-Tascii", "-P-cbou", "-rHY=0", page]
    ).run()
    #expect(shown.end == .exited(0) && shown.errors.isEmpty, "\(shown.errors)")
    return shown.output
  }

  /// The options that are listed by all of their names, such as "-t, --tree <pid>" or "--sync/--no-sync".
  ///
  /// - Parameter indent: of the lines that begin with an option.
  private func options(in text: some StringProtocol, indent: Int) -> Set<String> {
    let spaces = String(repeating: " ", count: indent)
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("\(spaces)-") }
    let lists = lines.map { $0.dropFirst(indent).split(separator: "  ")[0] }
    let words = lists.flatMap { list in list.split(whereSeparator: { [",", " ", "/"].contains($0) }) }
    return Set(words.map { String($0) }.filter { $0.hasPrefix("-") })
  }

  private var subcommands: [String] {
    SluiceCommand.configuration.subcommands.compactMap { $0.configuration.commandName }
  }

  @Test func describeEveryOption() async throws {
    try await withManual { directory in
      for name in subcommands {
        let page = try await text(of: "\(directory)/sluice-\(name).1")
        let listed = try #require(page.split(separator: "\nOPTIONS\n").dropFirst().first)
        let help = try await SluiceCommandLine.run(["help", name]).output
        let expected = options(in: help, indent: 2)
        #expect(expected.isSuperset(of: ["--version", "-h", "--help"]), "\(expected)")
        #expect(options(in: listed, indent: 7) == expected, "of \(name)")
      }
    }
  }

  @Test func tellTheSubcommandsAndTheExitCodes() async throws {
    try await withManual { directory in
      let page = try await text(of: "\(directory)/sluice.1")
      for name in subcommands { #expect(page.contains("sluice-\(name)(1)")) }
      let statuses = try #require(page.split(separator: "EXIT STATUS").last)
      for code in ExitCodesTests.codes.map(\.number) + [0, 124, 129, 130, 143] {
        #expect(statuses.contains("       \(code)") || statuses.contains(" \(code)"), "\(code)")
      }
    }
  }

  /// Every field, by all of its path.
  @Test func describeTheJSON() async throws {
    try await withManual { directory in
      let page = try await text(of: "\(directory)/sluice-json.5")
      for field in [
        "frozen_us", "stop.stop_us", "tasks[].pages_written", "numa.nodes[].bytes_local", "bytes_expected",
        "findings[].advice",
        "forecast.rounds[].seconds", "forecast.stop_seconds_most", "zero_pages",
      ] {
        #expect(page.contains("\(field) ("), "\(field)")
      }
    }
  }

  @Test(arguments: [
    ("sluice pre-d", "pre-dump"), ("sluice pre-dump --pid-f", "--pid-file"),
    ("sluice pre-dump --swapped s", "skip"),
  ])
  func completeALine(line: String, word: String) async throws {
    try await withTemporaryDirectory { directory in
      let made = try await SluiceCommandLine.run(["--generate-completion-script", "bash"])
      #expect(made.end == .exited(0), "\(made.errors)")
      let file = "\(directory)/sluice"
      try made.output.write(toFile: file, atomically: false, encoding: .utf8)
      let script = """
        . "$1"
        COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDS=($2) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        complete -p sluice | grep -q ' -F _sluice ' || exit 1
        _sluice sluice "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
        """
      let result = try await Command(installed: "bash", ["-c", script, "bash", file, line]).run()
      let words = result.output.split(whereSeparator: \.isWhitespace).map(String.init)
      #expect(words == [word], "\(result.errors)")
    }
  }
}
