import Glibc
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Ended device writes", .serialized)
struct EndedDeviceWritesTests {
  private func writes(in pid: Int32) throws -> EndedDeviceWrites {
    var tree = try ProcessTree(root: pid)
    try tree.lookOutside()
    return try EndedDeviceWrites(in: tree)
  }

  /// What so many looks in a row tell, unless one tells that they have ended.
  private func verdict(_ pid: Int32, looks: Int = 50) throws -> EndedDeviceWrites.Verdict {
    var writes = try writes(in: pid)
    for _ in 1..<looks {
      let verdict = try writes.look()
      if verdict != .notYetKnown { return verdict }
      usleep(2000)
    }
    return try writes.look()
  }

  @Test(arguments: [["--size", "4M"], ["--size", "4M", "--sleepers", "200"]])
  func haveEndedWhereAllThreadsSleep(options: [String]) async throws {
    try await MemoryTarget.run(options) { target in
      try await eventually("it is seen at rest") { try verdict(target.pid) == .haveEnded }
    }
  }

  /// A thread that computes may be in the middle of a call that nobody sees.
  @Test func areNotKnownToHaveEndedWhereAThreadRuns() async throws {
    try await ThreadTarget.run(["--spin", "1"]) { target in
      let found = try verdict(target.pid)
      #expect(found == .notYetKnown)
    }
  }

  @Test func areNotKnownToHaveEndedWhereThreadsReadPastThePageCache() async throws {
    try await withTemporaryDirectory { directory in
      try await TrialTarget.run(["direct", "--file", "\(directory)/file", "--size", "4M"]) { target in
        let found = try verdict(target.pid)
        #expect(found != .haveEnded)
      }
    }
  }

  @Test(arguments: ["aio", "ring"])
  func cannotBeKnownWhereTheyOutlastTheirCall(trial: String) async throws {
    try await withTemporaryDirectory { directory in
      try await TrialTarget.run([trial, "--file", "\(directory)/file", "--size", "4M"]) { target in
        let found = try verdict(target.pid)
        #expect(found == .cannotBeKnown)
      }
    }
  }

  /// Below /dev, any file but those that are known may give memory to a device.
  @Test(arguments: [("/dev/null", true), ("/dev/urandom", true), ("/dev/loop-control", false)])
  func heedTheFilesOfDevices(device: String, isPlain: Bool) async throws {
    var command = Command("/bin/sh", ["-c", "exec 3<\(device) && echo ready && exec sleep 600"])
    command.output = .lines
    try await withProgram(command) { program in
      let line = try await program.nextLine()
      try #require(line == "ready")
      try await eventually("the verdict is known") {
        try verdict(program.pid) == (isPlain ? .haveEnded : .cannotBeKnown)
      }
    }
  }
}
