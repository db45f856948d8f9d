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
      let task = Task { () -> Result<PreDumpReport, SluiceError> in
        do throws(SluiceError) {
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

    static let ways: [Way] = [
      Way(), Way { $0.memoryBudget = 1 << 20 },
      Way {
        $0.readers = 3
        $0.io = .buffered
        $0.writeEngine = .threads
      },
    ]

    @Test(arguments: ways)
    func leavesNothingWheneverItComes(way: Way) async throws {
      try await MemoryTarget.run(["--size", "24M", "--vmas", "200", "--write-rate", "1000"]) { target in
        var cancelled = 0
        var finished = 0
        // How long a run takes nobody knows beforehand: the longest delay follows from what became of the
        // runs before, so that some end before they are cancelled, and most do not.
        var longestDelay = Duration.milliseconds(50)
        while cancelled < 150 || finished < 5 {
          let delay = longestDelay * Double.random(in: 0...1)
          try await withTemporaryDirectory { directory in
            // Every other directory is there already, and must stay.
            let isGiven = cancelled % 2 == 0
            let images = isGiven ? directory : "\(directory)/images"
            var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: images)
            way.choose(&configuration)
            switch try await run(configuration, cancelledAfter: delay) {
            case .finished:
              finished += 1
              longestDelay = longestDelay * 0.8
              #expect(looksFinished(images), "after \(delay)")
              #expect(names(in: images)?.contains(where: { $0.hasSuffix(".partial") }) == false)
            case .cancelled:
              cancelled += 1
              longestDelay = longestDelay * 1.05
              #expect(names(in: images) == (isGiven ? [] : nil), "after \(delay)")
            }
          }
        }
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
            return await #expect(throws: SluiceError.self) {
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
