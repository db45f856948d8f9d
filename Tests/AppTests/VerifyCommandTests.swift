import Foundation
import SluiceTestSupport
import Testing

@Suite("sluice verify", .timeLimit(.minutes(5)))
struct VerifyCommandTests {
  @Test func saysWhetherAllIsWell() async throws {
    try await MemoryTarget.run(["--size", "2M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        let made = try await SluiceCommandLine.preDump(pid: target.pid, images: directory)
        #expect(made.end == .exited(0))
        let well = try await SluiceCommandLine.run(["verify", "-D", directory])
        #expect(well.end == .exited(0))
        #expect(well.output.contains("all is well"))
        // It goes on writing, so the images are soon old.
        let old = try await SluiceCommandLine.run([
          "verify", "-D", directory, "-t", "\(target.pid)", "--json",
        ])
        #expect(old.end == .exited(65))
        #expect(old.output.contains("\"ok\":false"))
        #expect(old.output.contains("\"differing\":"))
        try await target.check()

        let pages = "\(directory)/pages-1.img"
        let size = try #require(
          try FileManager.default.attributesOfItem(atPath: pages)[.size] as? UInt64)
        #expect(unsafe truncate(pages, Int(size) - 4096) == 0)
        let broken = try await SluiceCommandLine.run(["verify", "-D", directory])
        #expect(broken.end == .exited(65))
        #expect(broken.output.contains("WRONG: "))
        #expect(broken.output.contains("pages-1.img"))
      }
    }
  }

  @Test func saysWhatItCannotLookAt() async throws {
    expectFailure(
      try await SluiceCommandLine.run(["verify", "-D", "/nowhere/at/all"]), code: 66,
      saying: "/nowhere/at/all")
    try await withTemporaryDirectory { directory in
      try await MemoryTarget.run(["--size", "1M"]) { target in
        _ = try await SluiceCommandLine.preDump(pid: target.pid, images: directory)
        expectFailure(
          try await SluiceCommandLine.run(["verify", "-D", directory, "-t", "4000000"]), code: 66,
          saying: "there is no process 4000000")
      }
    }
  }
}
