import Foundation
import SluiceTestSupport
import Testing

@Suite("Signals", .timeLimit(.minutes(15)))
struct SignalsTests {
  /// Stops a pre-dump of half a gigabyte in the middle, and has `body` go on.
  private func interrupt(
    _ body: (_ preDump: InterruptedPreDump, _ target: MemoryTarget) async throws -> Void
  ) async throws {
    try await MemoryTarget.run(["--size", "512M", "--write-rate", "1000"]) { target in
      try await InterruptedPreDump.run(pid: target.pid) { preDump in try await body(preDump, target) }
      try await target.check()
    }
  }

  static let codes: [(signal: Int32, code: Int32)] = [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)]

  @Test(arguments: codes)
  func endARunInOrder(signal: Int32, code: Int32) async throws {
    try await interrupt { preDump, _ in
      preDump.sluice.send(signal)
      let result = try await preDump.goOn()
      #expect(result.end == .exited(code))
      #expect(result.output.isEmpty)
      #expect(result.errorLines.allSatisfy { $0.hasPrefix("sluice: ") }, "\(result.errors)")
      #expect(result.errorLines.last?.contains("nothing was kept") == true, "\(result.errors)")
      #expect(names(in: preDump.images) == nil)
    }
  }

  @Test func areOneWhenTheyAreOfOneMoment() async throws {
    try await interrupt { preDump, _ in
      for signal in [SIGTERM, SIGINT, SIGHUP] { preDump.sluice.send(signal) }
      let result = try await preDump.goOn()
      #expect([129, 130, 143].map { .exited($0) }.contains(result.end), "\(result.end)")
      #expect(result.errorLines.last?.contains("nothing was kept") == true, "\(result.errors)")
      #expect(names(in: preDump.images) == nil)
    }
  }

  /// It sends its signal to the program, and then to the program's group.
  @Test func areOneWhenTheyAreOfTimeout() async throws {
    try await MemoryTarget.run(["--size", "512M", "--write-rate", "1000"]) { target in
      try await withTemporaryDirectory { directory in
        var interrupted = 0
        for attempt in 0..<20 {
          let images = "\(directory)/\(attempt)"
          let command = try Command(
            installed: "timeout",
            [
              "0.\(10 + attempt * 3)", try Command.builtPath("sluice"), "pre-dump", "-t", "\(target.pid)",
              "-D", images,
            ])
          let result = try await command.run()
          if looksFinished(images) { continue }
          #expect(result.end == .exited(124), "\(result.errors)")
          #expect(names(in: images) == nil, "\(result.errors)")
          interrupted += 1
          if interrupted == 10 { break }
        }
        #expect(interrupted > 0)
      }
      try await target.check()
    }
  }

  @Test func endARunAtOnceWhenTheyComeAgain() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let (images, started) = ("\(directory)/images", "\(directory)/started")
        // It does not end when it is told to, and so the run does not either.
        let then = "trap '' TERM; echo $$ >\(started).new; mv \(started).new \(started); exec sleep 1000"
        let command = try Command(
          built: "sluice", ["pre-dump", "-t", "\(target.pid)", "-D", images, "--rounds", "1", "--then", then])
        try await withProgram(command) { sluice in
          try await eventually("the command has begun") { fileSize(started) != nil }
          let text = try String(contentsOfFile: started, encoding: .utf8)
          let child = try #require(Int32(text.split(separator: "\n").first ?? ""))
          let again = Task {
            while !Task.isCancelled {
              sluice.send(SIGTERM)
              try? await Task.sleep(for: .milliseconds(100))
            }
          }
          let result = try await sluice.result()
          again.cancel()
          kill(child, SIGKILL)
          #expect(result.end == .exited(143))
          #expect(result.errors.contains("to stop without cleaning up"), "\(result.errors)")
        }
      }
    }
  }

  /// Nobody can clean up after SIGKILL; what is left must not look finished, nor be in the way.
  @Test func leaveNothingThatLooksFinishedEvenWhenTheyKill() async throws {
    try await interrupt { preDump, target in
      preDump.sluice.send(SIGKILL)
      #expect(try await preDump.sluice.result().end == .killed(SIGKILL))
      #expect(!looksFinished(preDump.images))
      #expect(names(in: preDump.images)?.allSatisfy { $0.hasSuffix(".partial") } == true)
      let shown = try await SluiceCommandLine.run(["show", preDump.images])
      #expect(shown.output.hasPrefix("\(preDump.images): UNFINISHED"))

      try await target.program.stop()
      let again = try await SluiceCommandLine.preDump(pid: target.pid, images: preDump.images)
      #expect(again.end == .exited(0), "\(again.errors)")
      let comparison = try await ImageComparison.run(pid: target.pid, images: preDump.images)
      #expect(comparison.isEqual, "\(comparison)")
      target.program.resume()
    }
  }

  @Test func letNoOtherRunWriteIntoTheSameDirectory() async throws {
    try await interrupt { preDump, target in
      expectFailure(
        try await SluiceCommandLine.preDump(pid: target.pid, images: preDump.images), code: 73,
        saying: preDump.images,
        "another run")
      #expect(try await preDump.goOn().end == .exited(0))
      #expect(looksFinished(preDump.images))
    }
  }

  /// What a run that was interrupted in the middle of a round has left, all commands call complete, and it can be used.
  private func expectNewestIsWhole(of images: String, saying errors: String) async throws {
    var number = 1
    while names(in: "\(images)/\(number + 1)") != nil { number += 1 }
    let newest = "\(images)/\(number)"
    let isAside = names(in: newest)?.contains("inventory.img.aside") == true
    #expect(errors.contains("\(newest) is set aside") == isAside, "\(errors)")
    let shown = try await SluiceCommandLine.run(["show", newest])
    #expect(shown.output.hasPrefix("\(newest): finished\n"), "\(shown.output)")
    #expect(shown.output.contains("  set aside: ") == isAside)
    let verified = try await SluiceCommandLine.run(["verify", "-D", newest])
    #expect(verified.end == .exited(0), "\(verified.output)")
    #expect(verified.output.contains("complete and set aside") == isAside)
    let flat = try await SluiceCommandLine.run(["flatten", "-D", newest, "-o", "\(images)/flat"])
    #expect(flat.end == .exited(0), "\(flat.errors)")
    #expect(flat.errors.contains("no round can build on") == isAside, "\(flat.errors)")
  }

  @Test func keepsTheRoundsThatAreComplete() async throws {
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let command = try Command(
          built: "sluice",
          [
            "pre-dump", "-t", "\(target.pid)", "-D", images, "--rounds", "1000000", "--until-pages", "0",
            "--until-skipped", "100", "--max-growth", "1000000000",
          ])
        try await withProgram(command) { sluice in
          try await eventually("a round is complete, and another has begun") {
            looksFinished("\(images)/1") && names(in: "\(images)/2") != nil
          }
          sluice.send(SIGINT)
          let result = try await sluice.result()
          #expect(result.end == .exited(130))
          #expect(
            result.errors.contains(" complete and kept in \(images)\n"),
            "\(result.errors)")
          #expect(!result.errors.contains("nothing was kept"), "\(result.errors)")
          try await expectNewestIsWhole(of: images, saying: result.errors)
        }
      }
      try await target.check()
    }
  }
}
