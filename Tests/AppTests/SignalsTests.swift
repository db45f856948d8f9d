import Foundation
import SluiceTestSupport
import Testing

@Suite("Signals", .timeLimit(.minutes(5)))
struct SignalsTests {
  /// Starts a pre-dump of half a gigabyte, stops it in the middle, and has `body` go on.
  private func interrupt(
    _ body: (_ sluice: Program, _ images: String, _ target: MemoryTarget) async throws -> Void
  ) async throws {
    try await MemoryTarget.run(["--size", "512M", "--write-rate", "1000"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        try await withProgram(try .preDump(pid: target.pid, images: images)) { sluice in
          try await sluice.stopWhileItCopies(into: images)
          try await body(sluice, images, target)
        }
        try await target.check()
      }
    }
  }

  static let codes: [(signal: Int32, code: Int32)] = [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)]

  @Test(arguments: codes)
  func endARunInOrder(signal: Int32, code: Int32) async throws {
    try await interrupt { sluice, images, _ in
      sluice.send(signal)
      sluice.resume()
      let result = try await sluice.result()
      #expect(result.end == .exited(code))
      #expect(result.output.isEmpty)
      #expect(result.errorLines.allSatisfy { $0.hasPrefix("sluice: ") }, "\(result.errors)")
      #expect(result.errorLines.last?.contains("nothing was kept") == true, "\(result.errors)")
      #expect(names(in: images) == nil)
    }
  }

  @Test func endARunAtOnceWhenTheyComeTwice() async throws {
    try await interrupt { sluice, images, _ in
      // Two different ones: of two that are alike the kernel keeps one.
      sluice.send(SIGINT)
      sluice.send(SIGTERM)
      sluice.resume()
      let end = try await sluice.result().end
      #expect(end == .exited(130) || end == .exited(143))
      #expect(!looksFinished(images))
    }
  }

  /// Nobody can clean up after SIGKILL; what is left must not look finished, nor be in the way.
  @Test func leaveNothingThatLooksFinishedEvenWhenTheyKill() async throws {
    try await interrupt { sluice, images, target in
      sluice.send(SIGKILL)
      #expect(try await sluice.result().end == .killed(SIGKILL))
      #expect(!looksFinished(images))
      #expect(names(in: images)?.allSatisfy { $0.hasSuffix(".partial") } == true)
      expectFailure(try await SluiceCommandLine.run(["show", images]), code: 66, saying: "no images")

      try await target.program.stop()
      let again = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
      #expect(again.end == .exited(0), "\(again.errors)")
      let comparison = try await ImageComparison.run(pid: target.pid, images: images)
      #expect(comparison.isEqual, "\(comparison)")
      target.program.resume()
    }
  }

  @Test func letNoOtherRunWriteIntoTheSameDirectory() async throws {
    try await interrupt { sluice, images, target in
      expectFailure(
        try await SluiceCommandLine.preDump(pid: target.pid, images: images), code: 73, saying: images,
        "another run")
      sluice.resume()
      #expect(try await sluice.result().end == .exited(0))
      #expect(looksFinished(images))
    }
  }
}
