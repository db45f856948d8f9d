import CSluiceLinux
import Glibc
import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(15))) struct ThreadWriteEngineTests {
  /// Holds writes up until there are so many signals.
  private static let gate = Semaphore()

  /// With two threads at work, the other writes are still queued when the shutdown begins.
  @Test func `shutdown does every write that was started, and tells of each`() async {
    await #expect(processExitsWith: .success) {
      // A watchdog: the signal ends this process.
      alarm(UInt32(longestWait.components.seconds))
      let (count, tokens) = (100, Locked<[Int]>([]))
      unsafe sluice_set_fault_handler { site, _ in
        if site == SLUICE_FAULT_PWRITE { ThreadWriteEngineTests.gate.wait() }
        return 0
      }
      let pageSize = Int(sluice_page_size())
      let ring = try BufferRing(layout: BufferLayout(count: 1, chunkBytes: pageSize, pageSize: pageSize))
      let engine = makeThreadEngine(name: "test-pwrite", workers: 2)
      let user = EngineUser(of: engine, ring: ring)
      guard let buffer = await ring.take() else { return }
      // Not to be waited for: the buffer is written from until the engine is gone.
      nonisolated(unsafe) let bytes = unsafe UnsafeRawBufferPointer(buffer.bytes)
      await user.perform {
        engine.setCompletionHandler { completion in
          #expect(completion.result == -Int(EBADF))
          tokens.withLock { $0.append(completion.token) }
        }
        for token in 0..<count {
          engine.start(
            unsafe WriteRequest(descriptor: -1, bytes: bytes, offset: 0, bufferIndex: 0, token: token))
        }
      }
      #expect(tokens.withLock { $0 }.isEmpty)
      let opener = NamedThread(name: "opener")
      opener.begin { for _ in 0..<count { ThreadWriteEngineTests.gate.signal() } }
      engine.shutdown()
      opener.join()
      #expect(tokens.withLock { $0 }.sorted() == Array(0..<count))
      extendLifetime(buffer)
    }
  }

  @Test func `as many threads write as it is told, on the processors it is given`() async {
    await #expect(processExitsWith: .success) {
      let engine = makeThreadEngine(name: "a-name-too-long", workers: 3, cpus: [0])
      try await eventually("all have their names and processors") {
        let pinned = Kernel.threadIDs.filter { Kernel.allowedProcessors(threadID: $0) == "0" }
        return pinned.compactMap { Kernel.threadName(id: $0) }.sorted()
          == ["a-name-too-l-0", "a-name-too-l-1", "a-name-too-l-2", "a-name-too-long"]
      }
      engine.shutdown()
    }
  }
}
