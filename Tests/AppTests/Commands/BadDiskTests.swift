import Foundation
import SluiceTestSupport
import Testing

/// Whatever becomes of the disk, the processes run, and soon; and what it has is not taken for images.
@Suite("A disk that does not answer", .timeLimit(.minutes(5)), .needsSlowDisk)
struct BadDiskTests {
  /// A last round of 16 MiB.
  private func lastRound(
    of target: MemoryTarget, onto disk: SlowDisk, _ options: [String],
    _ body: (Program) async throws -> Void
  ) async throws {
    let command = try Command(
      built: "sluice",
      ["pre-dump", "-t", "\(target.pid)", "-D", "\(disk.path)/images", "--rounds", "1", "--final"] + options)
    try await disk.with(command, body)
  }

  /// With buffers for a part of the memory: the rest is not read before these are written.
  private static let tight = ["--memory-budget", "4M"]

  private func withTarget(_ body: (MemoryTarget, SlowDisk) async throws -> Void) async throws {
    try await MemoryTarget.run(["--size", "16M", "--write-rate", "100"]) { target in
      try await SlowDisk.run { disk in try await body(target, disk) }
      try await target.check()
    }
  }

  /// Whether it has ended, but for threads that do not come back from the kernel.
  private func hasEnded(_ program: Program) throws -> Bool {
    let stat = try String(contentsOfFile: "/proc/\(program.pid)/stat", encoding: .utf8)
    return stat.contains(") Z ")
  }

  /// It says so, and ends as far as the kernel lets it: with a thread in there nobody can wait for it.
  @Test func writesThatHangHoldTheProcessNoLongerThanItMayBeStopped() async throws {
    try await withTarget { target, disk in
      try await disk.hang(.write)
      try await lastRound(of: target, onto: disk, ["--stop-timeout", "2"] + Self.tight) { sluice in
        try await disk.untilHanging(.write)
        try await target.check()
        try await eventually("it says why") { try sluice.errorsSoFar().contains("--stop-timeout") }
        try await eventually("it says that it waits no longer") {
          try sluice.errorsSoFar().contains("the disk does not answer")
        }
        try await eventually("it ends") { try hasEnded(sluice) }
        try await disk.pass(.write)
        #expect(try await sluice.result().end == .exited(74))
        #expect(!looksFinished("\(disk.path)/images/1"))
      }
    }
  }

  @Test func theProcessRunsBeforeAnythingElseWhenASignalComesDuringAWrite() async throws {
    try await withTarget { target, disk in
      try await disk.hang(.write)
      try await lastRound(of: target, onto: disk, ["--stop-timeout", "600"] + Self.tight) { sluice in
        try await disk.untilHanging(.write)
        sluice.send(SIGTERM)
        try await target.check()
        try await disk.pass(.write)
        let result = try await sluice.result()
        #expect(result.end == .exited(143), "\(result.errors)")
        #expect(result.errors.contains("nothing was kept"), "\(result.errors)")
        #expect(names(in: "\(disk.path)/images") == [])
      }
    }
  }

  @Test func aSignalEndsARunThatHasNotBegunYet() async throws {
    try await withTarget { target, disk in
      try await disk.hang(.create)
      try await lastRound(of: target, onto: disk, []) { sluice in
        try await disk.untilHanging(.create)
        try await target.check()
        sluice.send(SIGTERM)
        try await eventually("it ends") { try hasEnded(sluice) }
        try await disk.pass(.create)
        let result = try await sluice.result()
        #expect(result.end == .exited(143), "\(result.errors)")
        #expect(result.errors.contains("the disk does not answer"), "\(result.errors)")
      }
    }
  }

  /// The images are valid only after that.
  @Test(arguments: [SlowDisk.Request.fsync, .rename, .flush])
  func theProcessRunsWhileImagesAreMadeValid(request: SlowDisk.Request) async throws {
    try await withTarget { target, disk in
      try await disk.hang(request)
      try await lastRound(of: target, onto: disk, ["--stop-timeout", "600"]) { sluice in
        try await disk.untilHanging(request)
        try await target.check()
        try await disk.pass(request)
        let result = try await sluice.result()
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(looksFinished("\(disk.path)/images/1"))
      }
    }
  }

  @Test(arguments: ["ENOSPC", "EIO", "EDQUOT"])
  func aWriteThatFailsLeavesTheProcessRunningAndNoImages(error: String) async throws {
    try await withTarget { target, disk in
      try await disk.fail(.write, error)
      try await lastRound(of: target, onto: disk, Self.tight) { sluice in
        let result = try await sluice.result()
        #expect(result.end == .exited(74), "\(result.errors)")
        #expect(result.errors.contains(error), "\(result.errors)")
        #expect(names(in: "\(disk.path)/images") == [])
      }
    }
  }

  /// Filesystems on the network tell of writes that have failed when the file is closed, and else only who syncs.
  @Test(arguments: [
    ("pages", []), ("pagemap", []), ("inventory", []), ("stats", []), ("pages", ["--io", "buffered"]),
  ])
  func whatFailsWhenAFileIsClosedIsHeard(name: String, options: [String]) async throws {
    try await withTarget { target, disk in
      try await disk.fail(.flush, "EIO", of: name)
      let images = "\(disk.path)/images"
      let result = try await SluiceCommandLine.preDump(
        pid: target.pid, images: images, ["--no-sync"] + options)
      expectFailure(result, code: 74, saying: "\(images)/\(name)", "EIO")
      #expect(names(in: images) == nil)
      try await disk.pass(.flush)
      let again = try await SluiceCommandLine.preDump(pid: target.pid, images: images, ["--no-sync"])
      #expect(again.end == .exited(0), "\(again.errors)")
    }
  }

  @Test func imagesThatCannotBeReadHoldTheProcessNoLongerThanItMayBeStopped() async throws {
    try await withTarget { target, disk in
      let images = "\(disk.path)/images"
      let made = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
      #expect(made.end == .exited(0), "\(made.errors)")
      try await disk.hang(.read, of: "pages")
      let command = try Command(
        built: "sluice", ["verify", "-D", images, "-t", "\(target.pid)", "--stop-timeout", "2"])
      try await disk.with(command) { sluice in
        try await disk.untilHanging(.read)
        try await target.check()
        try await eventually("it says why") { try sluice.errorsSoFar().contains("--stop-timeout") }
        try await eventually("it ends") { try hasEnded(sluice) || sluice.hasEnded }
        try await disk.pass(.read)
        #expect(try await sluice.result().end == .exited(75))
      }
    }
  }
}
