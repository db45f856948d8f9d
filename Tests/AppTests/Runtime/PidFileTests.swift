import Foundation
import SluiceTestSupport
import Testing

@Suite("--pid-file", .timeLimit(.minutes(15)))
struct PidFileTests {
  /// A pre-dump that stands still in the middle, with a pid file.
  private func interrupt(
    _ body: (_ preDump: InterruptedPreDump, _ file: String) async throws -> Void
  ) async throws {
    try await MemoryTarget.run(["--size", "512M"]) { target in
      try await withTemporaryDirectory { directory in
        let file = "\(directory)/pid"
        try await InterruptedPreDump.run(pid: target.pid, ["--pid-file", file]) { try await body($0, file) }
      }
    }
  }

  private func text(of file: String) throws -> String { try String(contentsOfFile: file, encoding: .utf8) }

  @Test func isThereForAsLongAsTheRun() async throws {
    try await interrupt { preDump, file in
      let text = try text(of: file)
      #expect(text == "\(preDump.sluice.pid)\n")
      let result = try await preDump.goOn()
      #expect(result.end == .exited(0))
      #expect(fileSize(file) == nil)
    }
  }

  @Test(arguments: [[SIGTERM], [SIGINT, SIGTERM]])
  func isRemovedHoweverSignalsEndTheRun(signals: [Int32]) async throws {
    try await interrupt { preDump, file in
      for signal in signals { preDump.sluice.send(signal) }
      let end = try await preDump.goOn().end
      #expect(end == .exited(143) || end == .exited(130))
      #expect(fileSize(file) == nil)
    }
  }

  @Test func isRemovedAfterAFailure() async throws {
    try await withTemporaryDirectory { directory in
      let file = "\(directory)/pid"
      expectFailure(
        try await SluiceCommandLine.preDump(
          pid: 1 << 22, images: "\(directory)/images", ["--pid-file", file]),
        code: 66, saying: "no process")
      #expect(names(in: directory) == [])
    }
  }

  @Test func takesThePlaceOfWhatAKilledRunHasLeft() async throws {
    try await interrupt { preDump, file in
      preDump.sluice.send(SIGKILL)
      _ = try await preDump.sluice.result()
      #expect(try text(of: file) == "\(preDump.sluice.pid)\n")
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { images in
          let again = try await SluiceCommandLine.preDump(
            pid: target.pid, images: images, ["--pid-file", file])
          #expect(again.end == .exited(0), "\(again.errors)")
          #expect(fileSize(file) == nil)
        }
      }
    }
  }

  @Test func refusesTheFileOfARunAtWork() async throws {
    try await interrupt { preDump, file in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        expectFailure(
          try await SluiceCommandLine.preDump(pid: 1, images: images, ["--pid-file", file]), code: 73,
          saying: file, "another run")
        #expect(names(in: images) == nil)
      }
      #expect(try text(of: file) == "\(preDump.sluice.pid)\n")
      #expect(try await preDump.goOn().end == .exited(0))
    }
  }

  @Test(arguments: ["precious", "12a", "12 13", String(repeating: "1", count: 40)])
  func leavesOtherFilesAlone(content: String) async throws {
    try await withTemporaryDirectory { directory in
      let (file, link) = ("\(directory)/file", "\(directory)/link")
      try content.write(toFile: file, atomically: false, encoding: .utf8)
      expectFailure(
        try await SluiceCommandLine.preDump(pid: 1, images: "\(directory)/images", ["--pid-file", file]),
        code: 73, saying: file, "not a pid file")
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
      expectFailure(
        try await SluiceCommandLine.preDump(pid: 1, images: "\(directory)/images", ["--pid-file", link]),
        code: 73, saying: link, "ELOOP")
      #expect(try text(of: file) == content)
      #expect(names(in: directory) == ["file", "link"])
    }
  }

  @Test func leavesTheFileOfAnotherProgramAlone() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let file = "\(directory)/pid"
        try "\(target.pid)\n".write(toFile: file, atomically: false, encoding: .utf8)
        expectFailure(
          try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/images", ["--pid-file", file]),
          code: 73, saying: file, "process \(target.pid)")
        #expect(try text(of: file) == "\(target.pid)\n")
        #expect(names(in: directory) == ["pid"])
      }
    }
  }

  @Test(arguments: [("/nowhere/pid", "ENOENT"), ("/tmp", "EISDIR"), ("/dev/null", "not a pid file")])
  func refusesPlacesWhereNoFileCanBe(path: String, word: String) async throws {
    let result = try await SluiceCommandLine.preDump(pid: 1, images: "/nowhere/images", ["--pid-file", path])
    expectFailure(result, code: 73, saying: path, word)
  }
}
