import SluiceTestSupport
import Testing

@Suite("sluice pre-dump", .timeLimit(.minutes(5)))
struct PreDumpCommandTests {
  @Test func copiesARunningProcess() async throws {
    try await MemoryTarget.run(["--size", "16M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        try await target.program.stop()
        let result = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
        #expect(result.end == .exited(0), "\(result.errors)")
        let comparison = try await ImageComparison.run(pid: target.pid, images: images)
        #expect(comparison.isEqual, "\(comparison)")
        target.program.resume()
        try await target.check()
      }
    }
  }
}
