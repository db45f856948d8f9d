import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Cancelling a pre-dump")
  struct CancellationTests {
    /// What may come of a run that was cancelled.
    private enum End {
      case finished
      case cancelled
    }

    private func run(
      _ configuration: PreDump.Configuration, cancelledAfter delay: Duration
    ) async throws -> End {
      let task = Task { () -> Result<PreDumpReport, PreDumpError> in
        do throws(PreDumpError) {
          return .success(try await PreDump(configuration).run())
        } catch {
          return .failure(error)
        }
      }
      try await Task.sleep(for: delay)
      task.cancel()
      switch await task.value {
      case .success: return .finished
      case .failure(let error):
        #expect(error.code == .cancelled, "after \(delay): \(error)")
        return .cancelled
      }
    }

    @Test(arguments: [1 << 20, 64 << 20])
    func leavesNothingWheneverItComes(budget: Int) async throws {
      try await MemoryTarget.run(["--size", "24M", "--vmas", "200", "--write-rate", "1000"]) { target in
        var cancelled = 0
        var longest = Duration.zero
        for round in 0..<200 {
          try await withTemporaryDirectory { directory in
            // Every other directory is there already, and must stay.
            let isGiven = round % 2 == 0
            let images = isGiven ? directory : "\(directory)/images"
            var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: images)
            configuration.memoryBudget = budget
            // The first rounds run to their end and tell how long that is.
            let isMeasured = round < 3
            let delay = isMeasured ? Duration.seconds(30) : longest * Double.random(in: 0...1.1)
            let end: End
            if isMeasured {
              let clock = ContinuousClock()
              let took = try await clock.measure { _ = try await PreDump(configuration).run() }
              longest = max(longest, took)
              end = .finished
            } else {
              end = try await run(configuration, cancelledAfter: delay)
            }
            switch end {
            case .finished:
              #expect(looksFinished(images), "after \(delay)")
              #expect(names(in: images)?.contains(where: { $0.hasSuffix(".partial") }) == false)
            case .cancelled:
              cancelled += 1
              #expect(names(in: images) == (isGiven ? [] : nil), "after \(delay)")
            }
          }
        }
        #expect(cancelled > 50, "else hardly anything was tried")
        try await expectNoThreads()
        try await target.check()
      }
    }

    @Test func comesBeforeTheBeginning() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let images = "\(directory)/images"
          let run = Task {
            cancelThisTask()
            return await #expect(throws: PreDumpError.self) {
              _ = try await PreDump(.init(pid: target.pid, imagesDirectory: images)).run()
            }
          }
          #expect(await run.value?.code == .cancelled)
          #expect(names(in: images) == nil)
        }
        try await target.check()
      }
      try await expectNoThreads()
    }

    private func cancelThisTask() {
      unsafe withUnsafeCurrentTask { task in unsafe task?.cancel() }
    }
  }
}
