import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  /// What reads images is cancelled like everything else, also where the disk does not answer.
  @Suite("Cancelled reading of images", .timeLimit(.minutes(5)))
  struct CancelledReadingTests {
    private func cancelled(_ work: @escaping @Sendable () async throws -> Void) async -> SluiceError? {
      await #expect(throws: SluiceError.self) {
        try await Task {
          unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
          try await work()
        }.value
      }
    }

    @Test func saysWhatWasCancelled() async throws {
      try await withTemporaryDirectory { directory in
        let newest = try RandomChain(seed: 1, depth: 2, in: directory).newest
        let verified = await cancelled { _ = try await VerifyImages(directory: newest).run() }
        #expect(verified?.code == .cancelled)
        #expect(verified?.message == "the check of the images was cancelled")
        let dedup = await cancelled { _ = try await DedupImages(directory: newest).run() }
        #expect(dedup?.message == "freeing the space of older images was cancelled")
        let summary = await cancelled { _ = try await ImagesSummary(path: newest) }
        #expect(summary?.message == "reading the images was cancelled")
        let flattened = await cancelled {
          _ = try await FlattenImages(directory: newest, output: "\(directory)/flat").run()
        }
        #expect(flattened?.message == "the flattening was cancelled")
        #expect(SluiceError.cancelled.message == "the pre-dump was cancelled; nothing was kept")
      }
    }

    @Test(.needsSlowDisk) func waitsForNoDiskThatDoesNotAnswer() async throws {
      try await SlowDisk.run { disk in
        let newest = try RandomChain(seed: 1, depth: 2, in: disk.path).newest
        try await disk.hang(.open, of: "pagemap")
        let task = Task { try await VerifyImages(directory: newest).run() }
        try await disk.untilHanging(.open)
        task.cancel()
        let error = await #expect(throws: SluiceError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        #expect(error?.message.contains("the disk does not answer") == true)
        try await disk.pass(.open)
      }
    }
  }
}
