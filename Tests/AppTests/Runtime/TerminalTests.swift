import SluiceTestSupport
import Testing

@testable import sluice

/// Where output goes when it cannot go where it should.
@Suite("Terminal", .timeLimit(.minutes(15)))
struct TerminalTests {
  /// Runs `body` with a stopped process, and a place for its images.
  private func withTarget(
    _ body: (_ target: MemoryTarget, _ images: String) async throws -> Void
  ) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await target.program.stop()
      try await withTemporaryDirectory { directory in
        try await body(target, "\(directory)/images")
      }
    }
  }

  @Test(arguments: [Command.Output.closed, .file("/dev/full")])
  func saysThatTheFiguresCouldNotBeWritten(output: Command.Output) async throws {
    try await withTarget { target, images in
      var command = try Command(built: "sluice", ["pre-dump", "-t", "\(target.pid)", "-D", images, "--json"])
      command.output = output
      let result = try await command.run()
      #expect(result.end == .exited(74))
      #expect(result.errorLines.last == "sluice: writing to standard output failed")
      // The images were complete by then.
      let comparison = try await ImageComparison.run(pid: target.pid, images: images)
      #expect(comparison.isEqual, "\(comparison)")

      for arguments in [["show", images], ["show", images, "--json"]] {
        var show = try Command(built: "sluice", arguments)
        show.output = output
        expectFailure(try await show.run(), code: 74, saying: "writing to standard output failed")
      }
    }
  }

  /// A reader that has seen enough, such as head(1), is no failure to complain of.
  @Test func isSilentWhenItsReaderHasGone() async throws {
    let sluice = try Command.builtPath("sluice")
    let script = "{ sleep 0.3; \"$0\" check; echo \"ended with $?\" >&2; } | true; sleep 1"
    let result = try await Command("/bin/sh", ["-c", script, sluice]).run()
    #expect(result.errors == "ended with 141\n")
  }

  /// What a terminal of so many columns shows.
  private func onTerminal(columns: Int, _ line: String) async throws -> String {
    let shell = "stty cols \(columns); \(line)"
    return try await Command(installed: "script", ["-qec", shell, "/dev/null"]).run().output
  }

  @Test(arguments: [60, 80, 200]) func writesNoLineThatIsWiderThanTheTerminal(columns: Int) async throws {
    let sluice = try Command.builtPath("sluice")
    let shown = try await onTerminal(columns: columns, "env -u COLUMNS \(sluice) check")
    let lines = shown.split(whereSeparator: \.isNewline)
    #expect(lines.count > 5)
    #expect(lines.allSatisfy { $0.count <= columns }, "\(shown)")
  }

  @Test(arguments: [("C", "us"), ("C.UTF-8", "µs")]) func hasOnlyASCIIWhereTheLocaleHasNoMore(
    locale: String, unit: String
  ) async throws {
    #expect(
      Elapsed.text(.microseconds(5), isUTF8: CharacterSet.isUTF8 { $0 == "LC_ALL" ? locale : nil })
        == "5 \(unit)")
    #expect(!CharacterSet.isUTF8 { _ in nil })
    #expect(CharacterSet.isUTF8 { ["LC_ALL": "", "LC_CTYPE": "en_US.utf8", "LANG": "C"][$0] })
  }

  /// A program that is started without standard streams is given their numbers for its own files: no message
  /// may end up in an image.
  @Test(arguments: ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
  func writesNoMessageIntoAnImage(closing: String) async throws {
    try await withTarget { target, images in
      let sluice = try Command.builtPath("sluice")
      let script = "exec \"$0\" pre-dump -t \"$1\" -D \"$2\" -v -v \(closing)"
      let command = Command("/bin/sh", ["-c", script, sluice, "\(target.pid)", images])
      #expect(try await command.run().end == .exited(0))
      let comparison = try await ImageComparison.run(pid: target.pid, images: images)
      #expect(comparison.isEqual, "\(comparison)")
    }
  }
}
