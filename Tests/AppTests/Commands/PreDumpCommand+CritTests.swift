import Foundation
import SluiceTestSupport
import Testing

/// CRIU's own tool reads what Sluice writes.
@Suite("crit", .timeLimit(.minutes(15)))
struct CritTests {
  @Test func readsEveryFile() async throws {
    try await MemoryTarget.run(["--size", "4M", "--layout", "alternate"]) { target in
      try await withTemporaryDirectory { images in
        let result = try await SluiceCommandLine.preDump(pid: target.pid, images: images, ["--json"])
        let figures = try jsonObject(result.output)
        let pages = try #require(figures["pages_written"] as? Int)
        #expect(
          names(in: images)
            == ["inventory.img", "pagemap-\(target.pid).img", "pages-1.img", "stats-dump"])

        let inventory = try #require(try await Crit.decode("\(images)/inventory.img").first)
        #expect(inventory["img_version"] as? Int == 0)
        #expect(try #require(inventory["dump_uptime"] as? Int) > 0)

        let statistics = try await Crit.decode("\(images)/stats-dump")
        let dump = try #require(statistics.first?["dump"] as? [String: Any])
        #expect(dump["pages_written"] as? Int == pages)
        #expect(dump["pages_scanned"] as? Int == figures["pages_scanned"] as? Int)
        #expect(dump["pages_skipped_parent"] as? Int == 0)
        #expect(dump["frozen_time"] as? Int == 0)

        let pagemap = try await Crit.decode("\(images)/pagemap-\(target.pid).img")
        #expect(pagemap.first?["pages_id"] as? Int == 1)
        let counts = pagemap.dropFirst().map { $0["nr_pages"] as? Int ?? 0 }
        #expect(counts.reduce(0, +) == pages)
        // PE_PRESENT
        #expect(pagemap.dropFirst().allSatisfy { $0["flags"] as? Int == 4 })
      }
    }
  }
}
