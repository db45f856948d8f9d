import Logging
import SluiceTarget
import SluiceTestSupport
import Testing

@testable import Sluice

/// What of two runs goes by the soft-dirty bits of a process. Rounds of two are tried on kernels that keep such bits: case
/// `beside` in virtual machines.
@Suite("Claims of soft-dirty bits", .timeLimit(.minutes(15)))
struct SoftDirtyClaimsTests {
  @Test func areMadeByOneRunAtATime() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let processes = [try TargetProcess(pid: target.pid)]
      let another = SoftDirtyClaims()
      do {
        let first = SoftDirtyClaims()
        #expect(try first.take(processes) == [])
        #expect(try first.take(processes) == [], "a run is not in its own way")
        #expect(try another.take(processes) == [target.pid])
        // Of others it lets go.
        #expect(try first.take([]) == [])
      }
      #expect(try another.take(processes) == [])
      #expect(try SoftDirtyClaims().take(processes) == [target.pid])
    }
  }

  @Test func endWithTheRun() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let processes = [try TargetProcess(pid: target.pid)]
      func takeAndForget() throws { _ = try SoftDirtyClaims().take(processes) }
      try takeAndForget()
      #expect(try SoftDirtyClaims().take(processes) == [])
    }
  }

  @Test func ofAnotherRunForbidToClear() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let processes = [try TargetProcess(pid: target.pid)]
      let another = SoftDirtyClaims()
      _ = try another.take(processes)
      var doubts = SoftDirtyDoubts()
      try doubts.claim(processes, for: SoftDirtyClaims())
      #expect(!doubts.isEmpty)
      let error = #expect(throws: SluiceError.self) { try doubts.checkMayClear() }
      #expect(error?.code == .notTrackable)
      #expect(error?.message.hasPrefix("another run of Sluice copies process \(target.pid)") == true)
      #expect(doubts.reason.contains("another run of Sluice copies process \(target.pid)"))
      withExtendedLifetime(another) {}
    }
  }

  @Test func areOfNoUseWithoutTheProcess() async throws {
    let process = try await MemoryTarget.run(["--size", "1M"]) { target in try TargetProcess(pid: target.pid)
    }
    #expect(try SoftDirtyClaims().take([process]) == [])
  }
}
