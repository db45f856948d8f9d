import Foundation
import SluiceTestSupport
import Testing

@Suite("--timeout", .timeLimit(.minutes(15)))
struct TimeoutTests {
  private func expectTimeout(_ result: CommandResult, images: String) {
    #expect(result.end == .exited(124))
    #expect(result.output.isEmpty)
    #expect(result.errorLines.first?.contains("--timeout") == true, "\(result.errors)")
    #expect(result.errorLines.last?.contains("nothing was kept") == true, "\(result.errors)")
    #expect(names(in: images) == nil)
  }

  @Test func endsARunThatHasHardlyBegun() async throws {
    try await MemoryTarget.run(["--size", "512M", "--write-rate", "1000"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        // Half a gigabyte is not copied in a millisecond.
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--timeout", "0.001"])
        expectTimeout(result, images: images)
      }
      try await target.check()
    }
  }

  @Test func endsARunInTheMiddle() async throws {
    try await MemoryTarget.run(["--size", "512M", "--write-rate", "1000"]) { target in
      try await InterruptedPreDump.run(pid: target.pid, ["--timeout", "1"]) { preDump in
        // It began before it was stopped, so that its time is up for certain.
        try await Task.sleep(for: .seconds(1))
        expectTimeout(try await preDump.goOn(), images: preDump.images)
      }
      try await target.check()
    }
  }

  @Test func leavesARunAloneThatTakesLess() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { images in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images, ["--timeout", "86400"])
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(looksFinished(images))
      }
    }
  }

  @Test func letsASignalEndTheProgramAtOnceThatIsStopping() async throws {
    try await MemoryTarget.run(["--size", "512M"]) { target in
      try await InterruptedPreDump.run(pid: target.pid, ["--timeout", "1"]) { preDump in
        try await Task.sleep(for: .seconds(1))
        preDump.sluice.send(SIGTERM)
        // Whichever of the two is dealt with first.
        let end = try await preDump.goOn().end
        #expect(end == .exited(143) || end == .exited(124))
        #expect(!looksFinished(preDump.images))
      }
    }
  }

  @Test(arguments: ["0", "-1", "soon", "nan", "inf"])
  func takesATimeAlone(text: String) async throws {
    let result = try await SluiceCommandLine.preDump(pid: 1, images: "/nowhere", ["--timeout", text])
    expectFailure(result, code: 64, saying: "--timeout")
  }
}
