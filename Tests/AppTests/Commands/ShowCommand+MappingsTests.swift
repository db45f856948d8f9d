import Foundation
import SluiceTestSupport
import Testing

@Suite("sluice show --mappings", .timeLimit(.minutes(15)))
struct ShowCommandMappingsTests {
  /// What is said of the process, its mappings, and what comes after them.
  private func mappings(
    in images: String, _ options: [String] = []
  ) async throws -> (head: [String: Any], mappings: [[String: Any]], gone: Int?) {
    let result = try await SluiceCommandLine.run(["show", images, "--mappings", "--json"] + options)
    try #require(result.end == .exited(0), "\(result.errors)")
    let lines = try result.output.split(separator: "\n").dropFirst().map { try jsonObject($0 + "\n") }
    let head = try #require(lines.first)
    return (head, lines.filter { $0["start"] != nil }, lines.last?["gone_from_process"] as? Int)
  }

  private func sum(_ key: String, of mappings: [[String: Any]]) -> Int {
    mappings.compactMap { $0[key] as? Int }.reduce(0, +)
  }

  private func mapping(with address: UInt64, in mappings: [[String: Any]]) -> [String: Any]? {
    mappings.first { mapping in
      let bounds = ["start", "end"].compactMap { mapping[$0] as? String }.compactMap {
        UInt64($0.dropFirst(2), radix: 16)
      }
      return bounds.count == 2 && bounds[0] <= address && address < bounds[1]
    }
  }

  @Test func tellsWhatTheImagesHaveOfEachMapping() async throws {
    try await MappingTarget.run { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let left = try await target.map(pages: 5)
        try target.waitUntilIdle()
        let made = try await SluiceCommandLine.preDump(pid: target.pid, images: images, ["--json"])
        try #require(made.end == .exited(0), "\(made.errors)")
        let written = try #require(try jsonObject(made.output)["pages_written"] as? Int)

        let same = try await mappings(in: images)
        #expect(["same", "unknown"].contains(same.head["process"] as? String))
        #expect(same.head["command"] as? String == "mapping-target")
        #expect(sum("pages_present", of: same.mappings) == written)
        #expect(sum("pages_in_parent", of: same.mappings) == 0)
        #expect(same.gone == 0)

        // The new pages first: they shall not come to where those were that go.
        let new = try await target.map(pages: 9)
        try await target.tell("unmap \(hexadecimal(left)) 5")
        let later = try await mappings(in: images)
        #expect(try #require(mapping(with: new, in: later.mappings))["pages_missing"] as? Int == 9)
        #expect(later.gone == 5)
        #expect(sum("pages_present", of: later.mappings) == written - 5)
        let text = try await SluiceCommandLine.run(["show", images, "--mappings"])
        #expect(text.end == .exited(0))
        #expect(text.output.contains("[stack]: "))
        #expect(text.output.contains("not taken: kernel"), "\(text.output)")

        try await target.exit()
        let ended = try await SluiceCommandLine.run(["show", images, "--mappings"])
        #expect(ended.end == .exited(0))
        #expect(ended.output.contains("pid \(target.pid): no mappings: "))
      }
    }
  }

  /// What the images do not have is missing, in the very mapping.
  @Test func tellsWhatIsMissing() async throws {
    try await MemoryTarget.run(["--size", "1M", "--sparse", "8M", "--sparse-pages", "50"]) { target in
      try await target.program.stop()
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let made = try await SluiceCommandLine.preDump(pid: target.pid, images: images, ["--json"])
        let written = try #require(try jsonObject(made.output)["pages_written"] as? Int)
        let whole = try await mappings(in: images)
        #expect(sum("pages_present", of: whole.mappings) == written)
        #expect(sum("pages_missing", of: whole.mappings) == 0)
        #expect(whole.gone == 0)

        // Other images under the same name: of another process, which has none of its memory at these addresses.
        try await MemoryTarget.run(["--size", "2M"]) { other in
          let others = "\(directory)/others"
          _ = try await SluiceCommandLine.preDump(pid: other.pid, images: others)
          try FileManager.default.moveItem(
            atPath: "\(others)/pagemap-\(other.pid).img", toPath: "\(others)/pagemap-\(target.pid).img")
          let wrong = try await mappings(in: others)
          #expect(sum("pages_missing", of: wrong.mappings) > 0)
          #expect(
            sum("pages_missing", of: wrong.mappings) + sum("pages_present", of: wrong.mappings) >= written)
        }
      }
    }
  }

  @Test func refusesWhatItCannotLookAt() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        _ = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
        expectFailure(
          try await SluiceCommandLine.run(["show", images, "-t", "\(target.pid)"]), code: 64,
          saying: "--mappings")
        let elsewhere = try await SluiceCommandLine.run(["show", images, "--mappings", "-t", "4000000"])
        #expect(elsewhere.end == .exited(66))
        let named = try await mappings(in: images, ["-t", "\(target.pid)"])
        #expect(named.head["host_pid"] as? Int == Int(target.pid))
      }
    }
  }
}
