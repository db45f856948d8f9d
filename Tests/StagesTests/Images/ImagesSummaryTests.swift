import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Images summary")
  struct ImagesSummaryTests {
    /// Runs `body` with the images of a real process.
    private func withImages(
      _ body: (_ directory: String, _ report: PreDumpReport, _ target: MemoryTarget) async throws -> Void
    ) async throws {
      try await MemoryTarget.run(["--size", "4M", "--layout", "alternate"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          let report = try await PreDump(.init(pid: target.pid, imagesDirectory: directory)).run()
          try await body(directory, report, target)
        }
      }
    }

    @Test func saysWhatWasWritten() async throws {
      let before = try String(contentsOfFile: "/proc/uptime", encoding: .utf8)
      try await withImages { directory, report, target in
        let summary = try await ImagesSummary(path: directory)
        #expect(summary.path == directory)
        #expect(summary.isFinished)
        #expect(summary.preDumpMode == "read")
        #expect(summary.parent == nil)
        let uptime = try #require(summary.dumpUptime)
        let began = try #require(before.split(separator: " ").first.flatMap { Double($0) })
        #expect(uptime / .seconds(1) > began - 0.011)
        let task = try #require(summary.processes.first)
        #expect(summary.processes.count == 1)
        #expect(task.pid == target.pid)
        #expect(task.pagesID == 1)
        #expect(task.pagesPresent == report.pagesWritten)
        #expect(task.pagesInParent == 0)
        #expect(task.entries > 512, "every other page of 4 MiB is an entry of its own")
        #expect(task.fileBytes == report.bytesWritten)
        #expect(try #require(task.allocatedBytes) > 0)
        let lines = try ProcessMemory.mappings(of: target.pid)
        #expect(try #require(task.lowestAddress) >= lines[0].start)
        #expect(try #require(task.highestAddress) > (try #require(task.lowestAddress)))
      }
    }

    @Test func saysThatImagesAreUnfinished() async throws {
      try await withImages { directory, _, _ in
        try FileManager.default.removeItem(atPath: "\(directory)/inventory.img")
        let summary = try await ImagesSummary(path: directory)
        #expect(!summary.isFinished)
        #expect(summary.processes.count == 1)
      }
    }

    @Test func saysWhatTheParentIs() async throws {
      try await withImages { directory, _, _ in
        try FileManager.default.createSymbolicLink(
          atPath: "\(directory)/parent", withDestinationPath: "../one")
        #expect(try await ImagesSummary(path: directory).parent == "../one")
      }
    }

    @Test func refusesWhatIsNoDirectoryOfImages() async throws {
      try await withTemporaryDirectory { directory in
        await #expect(throws: SluiceError.self) { _ = try await ImagesSummary(path: directory) }
        let missing = await #expect(throws: SluiceError.self) {
          _ = try await ImagesSummary(path: "\(directory)/none")
        }
        #expect(missing?.code == .notFound)
        try Data().write(to: URL(fileURLWithPath: "\(directory)/file"))
        let file = await #expect(throws: SluiceError.self) {
          _ = try await ImagesSummary(path: "\(directory)/file")
        }
        #expect(file?.code == .notFound)
      }
    }

    /// Every file cut off at every length: read or refused, but never taken for something else, and no trap.
    @Test func refusesFilesThatAreCutOff() async throws {
      try await withImages { directory, _, target in
        for name in ["inventory.img", "pagemap-\(target.pid).img"] {
          let url = URL(fileURLWithPath: "\(directory)/\(name)")
          let whole = try Data(contentsOf: url)
          for length in 0..<min(whole.count, 64) {
            try whole.prefix(length).write(to: url)
            do throws(SluiceError) {
              let entries = try await ImagesSummary(path: directory).processes.first?.entries ?? 0
              #expect(entries < 10, "\(name) of \(length) bytes")
            } catch {
              #expect(error.code == .malformedImages, "\(name) of \(length) bytes: \(error)")
            }
          }
          try whole.write(to: url)
          _ = try await ImagesSummary(path: directory)
        }
      }
    }
  }
}
