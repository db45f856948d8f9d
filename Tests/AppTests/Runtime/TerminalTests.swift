import SluiceTestSupport
import Testing

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
