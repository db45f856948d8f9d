import CSluiceLinux
import Glibc
import Testing

@testable import SluicePipeline

/// The limit on threads of a user, a cgroup or the machine is reached.
@Suite(.timeLimit(.minutes(15))) struct ThreadLimitTests {
  /// How many threads can still be started.
  private static let left = Locked(0)

  private static func allow(_ count: Int) {
    left.withLock { $0 = count }
    unsafe sluice_set_fault_handler { site, _ in
      guard site == SLUICE_FAULT_START_THREAD else { return 0 }
      return ThreadLimitTests.left.withLock { left in
        left -= 1
        return left < 0 ? EAGAIN : 0
      }
    }
  }

  @Test func `an executor without a thread is an error with the kernel's reason`() async {
    await #expect(processExitsWith: .success) {
      ThreadLimitTests.allow(0)
      for _ in 0..<20 {
        let error = #expect(throws: NoThread.self) { try ThreadExecutor(name: "test-none") }
        #expect(error?.errno.code == EAGAIN)
        #expect(error?.name == "test-none")
      }
    }
  }

  @Test func `an io_uring without a thread is as good as none`() async {
    await #expect(processExitsWith: .success) {
      ThreadLimitTests.allow(0)
      let pageSize = Int(sluice_page_size())
      let ring = try BufferRing(layout: BufferLayout(count: 1, chunkBytes: pageSize, pageSize: pageSize))
      let error = #expect(throws: RingExecutor.Unavailable.self) {
        try RingExecutor(name: "test-none", depth: 1, buffers: ring)
      }
      #expect(error?.errno.code == EAGAIN)
    }
  }

  @Test func `fewer threads than were asked for write all the same`() async {
    await #expect(processExitsWith: .success) {
      // A watchdog: the signal ends this process.
      alarm(300)
      let pageSize = Int(sluice_page_size())
      let ring = try BufferRing(layout: BufferLayout(count: 4, chunkBytes: pageSize, pageSize: pageSize))
      for count in 0...1 {
        ThreadLimitTests.allow(count)
        #expect(throws: NoThread.self) { try ThreadWriteEngine(name: "test-few", workers: 3) }
      }
      for count in 2...3 {
        ThreadLimitTests.allow(count)
        let engine = try ThreadWriteEngine(name: "test-few", workers: 3)
        let user = EngineUser(of: engine, ring: ring)
        await user.listen()
        let null = unsafe sluice_open_at(sluice_current_directory(), "/dev/null", SLUICE_OPEN_WRITE)
        for _ in 0..<10 { #expect(await user.write(1, to: null, at: 0) == pageSize) }
        _ = sluice_close(null)
        engine.shutdown()
      }
    }
  }
}
