import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Runtime", .timeLimit(.minutes(10)))
  struct SluiceRuntimeTests {
    @Test func `rounds go on with the threads, buffers and io_uring of the one before`() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await withTemporaryDirectory { directory in
          let runtime = SluiceRuntime()
          var policy = RoundPolicy()
          policy.rounds = 4
          policy.untilPages = 0
          policy.untilSkippedPercent = 100
          let rounds = try await withPreDumpRounds(
            .init(pid: target.pid, imagesDirectory: "\(directory)/chain"), policy: policy, in: runtime
          ) { rounds in
            var count = 0
            for try await report in rounds {
              count += 1
              #expect(report.imagesDirectory == "\(directory)/chain/\(count)")
            }
            #expect(rounds.isOver)
            return count
          }
          #expect(rounds >= 2)
          let counts = await runtime.counts
          #expect(counts.made == 1)
          #expect(counts.reused == rounds - 1)
          await runtime.shutdown()
          try await StagesTests.expectNoThreads()
        }
      }
    }

    /// Each of the dumps would take all of the budget, had it one of its own.
    @Test func `two dumps in one runtime stay within one budget together`() async throws {
      try await MemoryTarget.run(["--size", "160M"]) { target in
        try await withTemporaryDirectory { directory in
          let budget = 24 << 20
          let peak = try await peak(of: target.pid, dumps: 2, budget: budget, in: "\(directory)/two")
          // The base: the program, and the threads, channels and records of two dumps.
          #expect(peak < budget + (20 << 20), "\(peak >> 20) MiB")
        }
      }
    }

    private func peak(of pid: Int32, dumps: Int, budget: Int, in directory: String) async throws -> Int {
      let embedder = try Command.builtPath("embedder")
      let done = try await Command(
        embedder, ["--dumps", "\(dumps)", "--budget", "\(budget)", "\(pid)", directory]
      ).run()
      #expect(done.end == .exited(0), "\(done.errors)")
      return try #require(Int(done.output.trimmingCharacters(in: .whitespacesAndNewlines)), "\(done.output)")
    }

    @Test func `the scope of rounds ends what they have, also where it throws`() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let before = try TargetState(target.pid)
          var kept: PreDumpRounds?
          let error = await #expect(throws: TestFailure.self) {
            try await withPreDumpRounds(
              .init(pid: target.pid, imagesDirectory: "\(directory)/chain"), policy: RoundPolicy()
            ) { rounds in
              kept = rounds
              for try await _ in rounds { throw TestFailure("enough") }
            }
          }
          #expect(error != nil)
          #expect(try TargetState(target.pid) == before, "nobody watches the process")
          let late = await #expect(throws: SluiceError.self) {
            var rounds = try #require(kept?.makeAsyncIterator())
            _ = try await rounds.next()
          }
          #expect(late?.code == .invalidArgument)
          try await StagesTests.expectNoThreads()
        }
      }
    }

    @Test func `several watch the progress, and each sees the end`() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await withTemporaryDirectory { directory in
          let progress = ProgressFeed()
          let watchers = (0..<3).map { _ in
            Task {
              var phases: [PreDumpProgress.Phase] = []
              for await state in progress where phases.last != state.phase { phases.append(state.phase) }
              return phases
            }
          }
          try await Task.sleep(for: .milliseconds(20))
          _ = try await PreDump(
            .init(pid: target.pid, imagesDirectory: "\(directory)/images"), progress: progress
          ).run()
          for watcher in watchers {
            let phases = await watcher.value
            #expect(phases.last == .ended)
            #expect(phases.first == .preparing)
          }
        }
      }
    }
  }
}
