import Foundation
import SluiceTestSupport
import Testing

@Suite("sluice show", .timeLimit(.minutes(15)))
struct ShowCommandTests {
  /// Runs `body` with images of a real process, and the figures of the run that made them.
  private func withImages(
    _ body: (_ images: String, _ figures: [String: Any]) async throws -> Void
  ) async throws {
    try await MemoryTarget.run(["--size", "2M"]) { target in
      try await target.program.stop()
      try await withTemporaryDirectory { images in
        let result = try await SluiceCommandLine.preDump(pid: target.pid, images: images, ["--json"])
        try await body(images, try jsonObject(result.output))
      }
    }
  }

  @Test func tellsPeopleWhatADirectoryHolds() async throws {
    try await withImages { images, figures in
      let result = try await SluiceCommandLine.run(["show", images])
      #expect(result.end == .exited(0))
      #expect(result.errors.isEmpty)
      #expect(result.output.hasPrefix("\(images): finished\n"))
      let pages = try #require(figures["pages_written"] as? Int)
      let pid = try #require(figures["pid"] as? Int)
      #expect(result.output.contains("pid \(pid): \(pages) pages in pages-1.img"))
      #expect(result.output.contains("parent: none"))
      #expect(try await SluiceCommandLine.run(["show", "-D", images]).output == result.output)
    }
  }

  @Test(arguments: [["show"], ["show", "here", "-D", "there"]])
  func wantsOneDirectory(command: [String]) async throws {
    expectFailure(try await SluiceCommandLine.run(command), code: 64, saying: "name one images directory")
  }

  @Test func tellsProgramsWhatADirectoryHolds() async throws {
    try await withImages { images, figures in
      let result = try await SluiceCommandLine.run(["show", images, "--json"])
      #expect(result.end == .exited(0))
      let object = try jsonObject(result.output)
      #expect(object["images_dir"] as? String == images)
      #expect(object["finished"] as? Bool == true)
      #expect(object["pre_dump_mode"] as? String == "read")
      #expect(try #require(object["dump_uptime_us"] as? Int) > 0)
      let tasks = try #require(object["tasks"] as? [[String: Any]])
      try #require(tasks.count == 1)
      #expect(tasks[0]["pid"] as? Int == figures["namespace_pid"] as? Int)
      #expect(tasks[0]["pages_id"] as? Int == 1)
      #expect(tasks[0]["pages_present"] as? Int == figures["pages_written"] as? Int)
      #expect(tasks[0]["pages_in_parent"] as? Int == 0)
      #expect(tasks[0]["file_bytes"] as? Int == fileSize("\(images)/pages-1.img"))
    }
  }

  @Test func listsTheRunsOfPages() async throws {
    try await withImages { images, figures in
      let pid = try #require(figures["pid"] as? Int)
      let written = try #require(figures["pages_written"] as? Int)
      let result = try await SluiceCommandLine.run(["show", images, "--pages", "--json"])
      #expect(result.end == .exited(0))
      let lines = result.output.split(separator: "\n").map(String.init)
      let entries = try lines.dropFirst().map { try jsonObject($0 + "\n") }
      #expect(entries.compactMap { $0["pages"] as? Int }.reduce(0, +) == written)
      #expect(entries.allSatisfy { $0["place"] as? String == "present" && $0["pid"] as? Int == pid })
      let text = try await SluiceCommandLine.run(["show", images, "--pages"])
      #expect(
        text.output.split(separator: "\n").filter { $0.hasSuffix(", here") }.count == entries.count)
    }
  }

  @Test func drawsTheAddressSpace() async throws {
    try await withImages { images, _ in
      let result = try await SluiceCommandLine.run(["show", images, "--map"])
      #expect(result.end == .exited(0))
      #expect(result.output.contains("# in these images, + in the parent"))
      let drawn = result.output.split(separator: "\n").filter { $0.hasSuffix("#") }
      #expect(drawn.count > 1)
      #expect(drawn.allSatisfy { $0.count <= 82 })
      expectFailure(
        try await SluiceCommandLine.run(["show", images, "--map", "--json"]), code: 64, saying: "--map")
    }
  }

  @Test func seesARunThatWasInterrupted() async throws {
    try await withTemporaryDirectory { images in
      try Data().write(to: URL(filePath: "\(images)/pages-1.img.partial"))
      let result = try await SluiceCommandLine.run(["show", images])
      #expect(result.end == .exited(0))
      #expect(result.output.hasPrefix("\(images): UNFINISHED"))
    }
  }

  @Test func saysThatImagesAreUnfinished() async throws {
    try await withImages { images, _ in
      try FileManager.default.removeItem(atPath: "\(images)/inventory.img")
      let result = try await SluiceCommandLine.run(["show", images])
      #expect(result.end == .exited(0))
      #expect(result.output.hasPrefix("\(images): UNFINISHED"))
      let object = try jsonObject(try await SluiceCommandLine.run(["show", images, "--json"]).output)
      #expect(object["finished"] as? Bool == false)
    }
  }

  @Test(arguments: ["inventory.img", "pagemap"], ["", "nonsense", "\u{16}11X\u{ff}\u{ff}"])
  func refusesBrokenImages(name: String, contents: String) async throws {
    try await withImages { images, figures in
      let pid = try #require(figures["pid"] as? Int)
      let file = name == "pagemap" ? "\(images)/pagemap-\(pid).img" : "\(images)/\(name)"
      try Data(contents.utf8).write(to: URL(fileURLWithPath: file))
      for options in [[], ["--json"]] {
        expectFailure(try await SluiceCommandLine.run(["show", images] + options), code: 65, saying: file)
      }
    }
  }

  /// Two entries, of which the second lies below the first; one that the address space has no room for.
  @Test(arguments: [
    [10, 0, 0, 0, 0x08, 0x80, 0xa0, 0x01, 0x10, 1, 0x20, 4, 0x28, 1] + [9, 0, 0, 0]
      + [0x08, 0x80, 0x20, 0x10, 1, 0x20, 4, 0x28, 1],
    [18, 0, 0, 0, 0x08, 0x80, 0x20, 0x10, 1, 0x20, 4, 0x28] + [UInt8](repeating: 0xff, count: 9) + [1],
  ])
  func refusesEntriesThatCannotBe(entries: [UInt8]) async throws {
    try await withImages { images, figures in
      let pid = try #require(figures["pid"] as? Int)
      let head: [UInt8] = [0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56, 2, 0, 0, 0, 8, 1]
      try Data(head + entries).write(to: URL(fileURLWithPath: "\(images)/pagemap-\(pid).img"))
      for options in [[], ["--map"], ["--mappings"]] {
        expectFailure(
          try await SluiceCommandLine.run(["show", images] + options), code: 65, saying: "pagemap-\(pid).img")
      }
    }
  }

  @Test func refusesWhatIsNoDirectoryOfImages() async throws {
    try await withTemporaryDirectory { directory in
      expectFailure(
        try await SluiceCommandLine.run(["show", directory]), code: 66, saying: directory, "no images")
      expectFailure(
        try await SluiceCommandLine.run(["show", "\(directory)/none"]), code: 66, saying: "ENOENT")
      try Data().write(to: URL(fileURLWithPath: "\(directory)/file"))
      expectFailure(
        try await SluiceCommandLine.run(["show", "\(directory)/file"]), code: 66, saying: "ENOTDIR")
    }
  }
}
