import Foundation
import SluiceTestSupport
import Testing

@Suite("--log-file", .timeLimit(.minutes(15)))
struct LogFileTests {
  /// Runs a pre-dump of a small process.
  private func preDump(_ options: [String]) async throws -> CommandResult {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { images in
        try await SluiceCommandLine.preDump(pid: target.pid, images: images, options)
      }
    }
  }

  private func messages(in file: String) throws -> [Substring] {
    messages(of: try String(contentsOfFile: file, encoding: .utf8))
  }

  /// The first line of each message: what follows it is indented.
  private func messages(of text: String) -> [Substring] {
    text.split(separator: "\n").filter { !$0.hasPrefix(" ") }
  }

  @Test(arguments: ["-o", "--log-file"])
  func hasTheMessagesAndTheLog(option: String) async throws {
    try await withTemporaryDirectory { directory in
      let file = "\(directory)/log"
      let result = try await preDump([option, file, "-v"])
      #expect(result.end == .exited(0))
      #expect(result.errors.isEmpty, "\(result.errors)")
      let messages = try messages(in: file)
      // The time, the level and sluice's pid.
      let head = /20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ info sluice\[\d+\]: \w/
      #expect(messages.allSatisfy { $0.prefixMatch(of: head) != nil }, "\(messages)")
      #expect(messages.last?.contains("]: process ") == true, "\(messages)")
    }
  }

  @Test func hasTheFailuresAndWhatWasThereBefore() async throws {
    try await withTemporaryDirectory { directory in
      let file = "\(directory)/log"
      try "before\n".write(toFile: file, atomically: false, encoding: .utf8)
      let result = try await SluiceCommandLine.preDump(
        pid: 1 << 22, images: "\(directory)/images", ["-o", file])
      #expect(result.end == .exited(66))
      #expect(result.errors.isEmpty, "\(result.errors)")
      let messages = try messages(in: file)
      #expect(
        messages.count == 2 && messages[0] == "before" && messages[1].contains("no process"), "\(messages)")
    }
  }

  /// In a file, and on standard error.
  @Test(arguments: [true, false]) func canBeJSON(isFile: Bool) async throws {
    try await withTemporaryDirectory { directory in
      let file = "\(directory)/log"
      let result = try await preDump(["-v", "--log-format", "json"] + (isFile ? ["-o", file] : []))
      #expect(result.end == .exited(0))
      let text = isFile ? try String(contentsOfFile: file, encoding: .utf8) : result.errors
      let lines = text.split(separator: "\n")
      #expect(lines.count > 1)
      for line in lines {
        let object = try jsonObject(line + "\n")
        #expect(Set(object.keys) == ["time", "level", "pid", "message"])
        #expect(object["level"] as? String == "info")
        #expect((object["message"] as? String)?.hasPrefix("sluice") == false)
      }
    }
  }

  @Test func hasTheLevelOfAFailure() async throws {
    let result = try await SluiceCommandLine.preDump(
      pid: 1 << 22, images: "/nowhere", ["--log-format", "json"])
    #expect(result.end == .exited(66), "\(result.errors)")
    #expect(try jsonObject(result.errors)["level"] as? String == "error")
  }

  @Test func leavesTheFiguresAndTheProgressWhereTheyAre() async throws {
    try await withTemporaryDirectory { directory in
      let file = "\(directory)/log"
      let result = try await preDump(["-o", file, "--json", "--progress", "json"])
      #expect(try jsonObject(result.output)["pid"] != nil)
      #expect(
        !result.errorLines.isEmpty && result.errorLines.allSatisfy { $0.hasPrefix("{") }, "\(result.errors)")
      #expect(try messages(in: file).count == 1)
    }
  }

  /// Runs a pre-dump on a terminal, and returns what it wrote there.
  private func onTerminal(_ options: String) async throws -> String {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { images in
        let sluice = try Command.builtPath("sluice")
        let line = "TERM=xterm COLUMNS=80 \(sluice) pre-dump -t \(target.pid) -D \(images) \(options)"
        return try await Command(installed: "script", ["-qec", line, "/dev/null"]).run().output
      }
    }
  }

  @Test func turnsTheBarOff() async throws {
    let bar = "\u{1B}[K"
    let output = try await onTerminal("")
    #expect(output.contains(bar), "else it is not the case that is meant")
    try await withTemporaryDirectory { directory in
      let output = try await onTerminal("-o \(directory)/log")
      #expect(output.isEmpty)
      #expect(try messages(in: "\(directory)/log").count == 1)
    }
  }

  @Test func losesNoMessageWhenItIsFull() async throws {
    let result = try await preDump(["-o", "/dev/full"])
    #expect(result.end == .exited(0))
    let messages = messages(of: result.errors)
    #expect(messages.count == 2, "\(messages)")
    #expect(messages.first?.contains("log file: ENOSPC") == true, "\(messages)")
    #expect(messages.last?.hasPrefix("sluice: process ") == true, "\(messages)")
  }

  @Test func mustBeAFileThatCanBeWritten() async throws {
    try await withTemporaryDirectory { directory in
      let images = "\(directory)/images"
      expectFailure(
        try await SluiceCommandLine.preDump(pid: 1, images: images, ["-o", "\(directory)/none/log"]),
        code: 73,
        saying: "\(directory)/none/log", "ENOENT")
      #expect(names(in: directory) == [])
    }
  }
}
