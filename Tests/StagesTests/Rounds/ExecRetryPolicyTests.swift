import SluiceTestSupport
import Testing

@testable import Sluice

@Suite struct ExecRetryPolicyTests {
  @Test func `end after so many of one round`() {
    var tries = ExecRetryPolicy()
    for count in 1...ExecRetryPolicy.most {
      tries.begins()
      #expect(tries.count == count)
      let goesOn = tries.failed()
      #expect(goesOn == (count < ExecRetryPolicy.most))
      #expect(tries.isAgain == goesOn)
    }
  }

  @Test func `begin anew with each round`() {
    var tries = ExecRetryPolicy()
    for _ in 0..<10 {
      tries.begins()
      #expect(tries.count == 1)
      _ = tries.failed()
      tries.begins()
      #expect(tries.count == 2)
      #expect(!tries.isAgain)
    }
  }

  /// What rounds make of that, with a process of which nothing is copied.
  @Test func `give the same round again`() async throws {
    try await withRounds { configuration, directory in
      var policy = RoundPolicy()
      policy.rounds = 3
      let executed = SluiceError(.targetGone, "it executed another program", isCausedByExec: true)
      let kinds: [(RoundPolicy, PreDumpRounds.LastRound?)] = [(policy, nil), (RoundPolicy(), .resumes)]
      for (policy, last) in kinds {
        var rounds = try RoundSequence(configuration, policy: policy, lastRound: last)
        for count in 1...ExecRetryPolicy.most {
          let next = try await rounds.next()
          guard let round = next else { throw TestFailure("round \(count) is not there") }
          #expect(rounds.number == 1)
          #expect(round.configuration.imagesDirectory == "\(directory)/1")
          #expect(round.configuration.parentDirectory == nil)
          guard count == ExecRetryPolicy.most else {
            try rounds.failed(executed)
            continue
          }
          let error = Self.failure(of: &rounds, executed)
          #expect(error?.code == .targetGone)
          #expect(
            error?.message.contains("round 1 was tried 4 times") == true, "\(String(describing: error))")
        }
      }
    }
  }

  @Test func `do not hide what else goes wrong`() async throws {
    try await withRounds { configuration, _ in
      var rounds = try RoundSequence(configuration, policy: RoundPolicy())
      _ = try await rounds.next()
      let error = Self.failure(of: &rounds, SluiceError(.targetGone, "it ended"))
      #expect(error?.message == "it ended")
    }
  }

  private func withRounds(_ body: (PreDump.Configuration, String) async throws -> Void) async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        try await body(PreDump.Configuration(pid: target.pid, imagesDirectory: directory), directory)
      }
    }
  }

  private static func failure(of rounds: inout RoundSequence, _ error: SluiceError) -> SluiceError? {
    do throws(SluiceError) {
      try rounds.failed(error)
      return nil
    } catch {
      return error
    }
  }
}
