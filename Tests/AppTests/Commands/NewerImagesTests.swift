import Foundation
import SluiceTestSupport
import Testing

/// Images of a CRIU to come: what is not known may change what the rest means.
@Suite("images of a newer CRIU", .timeLimit(.minutes(15)))
struct NewerImagesTests {
  /// A record with something added to it.
  private func add(_ bytes: [UInt8], toRecord number: Int, of path: String, magics: Int) throws {
    var data = [UInt8](try Data(contentsOf: URL(filePath: path)))
    var position = 4 * magics
    for _ in 0..<number { position += 4 + Int(data[position]) }
    let size = Int(data[position])
    data.insert(contentsOf: bytes, at: position + 4 + size)
    data[position] = UInt8(size + bytes.count)
    try Data(data).write(to: URL(filePath: path))
  }

  /// A field of the message that is not known; the flag 8, which has the last word; a version of compressed images.
  @Test(arguments: [
    ("pagemap", 1, [0x32, 2, 8, 1], "the unknown field 6"),
    ("pagemap", 1, [0x20, 12], "the unknown flag 0x8"),
    ("pagemap", 0, [0x48, 1], "the unknown field 9"), ("inventory.img", 0, [0x08, 3], "version 3"),
    ("inventory.img", 0, [0x78, 1], "the unknown field 15"),
  ])
  func areRefusedByEveryCommand(name: String, record: Int, bytes: [UInt8], reason: String) async throws {
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { images in
        for number in 1...2 {
          let made = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(images)/\(number)",
            number == 1 ? ["--tracker", "content"] : ["--tracker", "content", "--prev-images-dir", "../1"])
          #expect(made.end == .exited(0), "\(made.errors)")
        }
        let newest = "\(images)/2"
        let file = name == "pagemap" ? "\(newest)/pagemap-\(target.pid).img" : "\(newest)/\(name)"
        let before = fileSize("\(images)/1/pages-1.img")
        try add(bytes, toRecord: record, of: file, magics: name == "pagemap" ? 2 : 1)
        let verified = try await SluiceCommandLine.run(["verify", "-D", newest])
        #expect(verified.end == .exited(65))
        for words in ["problem: \(file) was made by a newer CRIU", reason] {
          #expect(verified.output.contains(words), "\(verified.output)")
        }
        for command in [
          ["show", newest], ["show", newest, "--json"], ["flatten", "-D", newest, "-o", "\(images)/flat"],
          ["dedup", "-D", newest],
        ] {
          expectFailure(
            try await SluiceCommandLine.run(command), code: 65, saying: "made by a newer CRIU", reason)
        }
        #expect(try await SluiceCommandLine.run(["verify", "-D", "\(images)/1"]).end == .exited(0))
        #expect(fileSize("\(images)/1/pages-1.img") == before)
        // A round does not build on them: without an inventory that is understood it is not made at all.
        let round = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(images)/3", ["--tracker", "content", "--prev-images-dir", "../2"])
        #expect(round.errors.contains("made by a newer CRIU"), "\(round.errors)")
        guard name == "pagemap" else {
          #expect(round.end == .exited(65), "\(round.errors)")
          return
        }
        #expect(round.end == .exited(0), "\(round.errors)")
        let shown = try jsonObject(try await SluiceCommandLine.run(["show", "\(images)/3", "--json"]).output)
        #expect(shown["parent"] == nil || shown["parent"] is NSNull)
      }
    }
  }
}
