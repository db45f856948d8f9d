import CSluiceLinux
import Glibc
import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(15))) struct RingExecutorTests {
  private static func ring(chunkBytes: Int = Int(sluice_page_size())) throws -> BufferRing {
    try BufferRing(
      layout: BufferLayout(count: 4, chunkBytes: chunkBytes, pageSize: Int(sluice_page_size())))
  }

  @Test func `an actor runs on its thread`() async throws {
    let ring = try Self.ring()
    let executor = try RingExecutor(name: "test-ring", depth: 2, buffers: ring)
    let user = EngineUser(of: executor, ring: ring)
    for _ in 0..<50 { #expect(await user.threadName() == "test-ring") }
    #expect(executor.kind == "io_uring")
    #expect(executor.name == "test-ring")
    #expect(executor.isIsolatingCurrentContext() == false)
    #expect(await user.perform { executor.isIsolatingCurrentContext() } == true)
    executor.shutdown()
  }

  /// A wake-up that is lost would leave a call without its answer.
  @Test func `thousands of wake-ups from many threads arrive`() async throws {
    let ring = try Self.ring()
    let executor = try RingExecutor(name: "test-wake", depth: 1, buffers: ring)
    let (user, calls) = (EngineUser(of: executor, ring: ring), Locked(0))
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          for round in 0..<1000 {
            await user.perform { calls.withLock { $0 += 1 } }
            if round % 16 == 0 { await Task.yield() }
          }
        }
      }
    }
    #expect(calls.withLock { $0 } == 8000)
    executor.shutdown()
  }

  /// Each call finds the thread asleep, or about to be.
  @Test func `one wake-up at a time arrives`() async throws {
    let ring = try Self.ring()
    let executor = try RingExecutor(name: "test-one-wake", depth: 1, buffers: ring)
    let (user, calls) = (EngineUser(of: executor, ring: ring), Locked(0))
    for round in 0..<3000 {
      await user.perform { calls.withLock { $0 += 1 } }
      if round % 100 == 0 { usleep(100) }
    }
    #expect(calls.withLock { $0 } == 3000)
    executor.shutdown()
  }

  @Test func `what was enqueued before the shutdown still runs`() async throws {
    for _ in 0..<100 {
      let ring = try Self.ring()
      let executor = try RingExecutor(name: "test-last-jobs", depth: 1, buffers: ring)
      let user = EngineUser(of: executor, ring: ring)
      let (isIn, goOn) = (Semaphore(), Semaphore())
      // This holds the thread up, so that the rest is still to be done when the shutdown begins.
      let first = Task.immediate {
        await user.perform {
          isIn.signal()
          goOn.wait()
        }
      }
      isIn.wait()
      let others = (0..<20).map { _ in Task.immediate { await user.threadName() } }
      goOn.signal()
      executor.shutdown()
      await first.value
      for task in others { #expect(await task.value == "test-last-jobs") }
    }
  }

  @Test func `stays on the processors it is given`() async throws {
    let ring = try Self.ring()
    let executor = try RingExecutor(name: "test-pinned", depth: 1, buffers: ring, cpus: [0])
    let id = await EngineUser(of: executor, ring: ring).threadID()
    #expect(Kernel.allowedProcessors(threadID: id) == "0")
    executor.shutdown()
  }

  /// In a process that may lock enough memory for a ring, which recent kernels count, but not for a buffer.
  @Test(.needsRoot) func `a buffer that cannot be registered is told once, and writes go without`() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit(rlim_cur: 1 << 20, rlim_max: 1 << 20)
      // As a user who has no right to lock more, and of whose memory nothing is locked yet.
      try #require(unsafe setrlimit(Int32(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 && setuid(54_321) == 0)
      let refusals = try await RingExecutorTests.refusals(of: 10, chunkBytes: 4 << 20)
      #expect(refusals == [ENOMEM])
    }
  }

  @Test(arguments: [SLUICE_FAULT_RING_RESERVE.rawValue, SLUICE_FAULT_RING_REGISTER.rawValue])
  func `a kernel that registers no buffers is told once, and writes go without`(site: UInt32) async {
    await #expect(processExitsWith: .success) { [site] in
      RingExecutorTests.failing.withLock { $0 = site }
      unsafe sluice_set_fault_handler { site, _ in
        RingExecutorTests.failing.withLock { $0 == site.rawValue } ? EINVAL : 0
      }
      let refusals = try await RingExecutorTests.refusals(of: 10)
      #expect(refusals == [EINVAL])
    }
  }

  private static let failing = Locked<UInt32?>(nil)

  /// What was told of registering while so many writes were done.
  private static func refusals(
    of count: Int, chunkBytes: Int = Int(sluice_page_size())
  ) async throws -> [Int32] {
    let null = unsafe sluice_open_at(sluice_current_directory(), "/dev/null", SLUICE_OPEN_WRITE)
    defer { _ = sluice_close(null) }
    let (ring, told) = (try ring(chunkBytes: chunkBytes), Locked<[Int32]>([]))
    let executor = try RingExecutor(name: "test-refused", depth: 2, buffers: ring) { errno in
      told.withLock { $0.append(errno.code) }
    }
    let user = EngineUser(of: executor, ring: ring)
    await user.listen()
    for _ in 0..<count { #expect(await user.write(1, to: null, at: 0) == ring.layout.chunkBytes) }
    executor.shutdown()
    #expect(ring.takenCount == 0)
    return told.withLock { $0 }
  }

  @Test func `a ring that is not to be had is an error with the kernel's reason`() async {
    await #expect(processExitsWith: .success) {
      unsafe sluice_set_fault_handler { site, _ in site == SLUICE_FAULT_RING_OPEN ? EPERM : 0 }
      let ring = try RingExecutorTests.ring()
      for _ in 0..<20 {
        let error = #expect(throws: RingExecutor.Unavailable.self) {
          try RingExecutor(name: "test-none", depth: 1, buffers: ring)
        }
        #expect(error?.errno.code == EPERM)
      }
    }
  }

  private static let breaks = Locked(false)

  /// io_uring_enter fails in a way that no trying again helps: the ring is given up, and whoever writes is told.
  @Test(arguments: [EIO, EBADF, ENXIO])
  func `a ring that breaks down fails its writes, and all that come after`(errno: Int32) async {
    await #expect(processExitsWith: .success) { [errno] in
      // A watchdog: the signal ends this process.
      alarm(300)
      RingExecutorTests.error.withLock { $0 = errno }
      unsafe sluice_set_fault_handler { site, _ in
        guard site == SLUICE_FAULT_RING_ENTER, RingExecutorTests.breaks.withLock({ $0 }) else { return 0 }
        return RingExecutorTests.error.withLock { $0 }
      }
      let (ring, null) = (
        try RingExecutorTests.ring(),
        unsafe sluice_open_at(sluice_current_directory(), "/dev/null", SLUICE_OPEN_WRITE)
      )
      for writesBefore in [0, 3] {
        RingExecutorTests.breaks.withLock { $0 = false }
        let executor = try RingExecutor(name: "test-broken", depth: 2, buffers: ring)
        let user = EngineUser(of: executor, ring: ring)
        await user.listen()
        for _ in 0..<writesBefore { #expect(await user.write(1, to: null, at: 0) > 0) }
        RingExecutorTests.breaks.withLock { $0 = true }
        for _ in 0..<5 { #expect(await user.write(1, to: null, at: 0) == -Int(errno)) }
        // It is still somewhere to run.
        #expect(await user.threadName() == "test-broken")
        executor.shutdown()
        #expect(ring.takenCount == 0)
      }
      _ = sluice_close(null)
    }
  }

  private static let error = Locked<Int32>(0)

  /// The kernel would write from memory that its owner has given away.
  @Test func `shutting it down while a write is in flight ends the process, with its name`() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let ring = try RingExecutorTests.ring()
      let executor = try RingExecutor(name: "test-in-flight", depth: 1, buffers: ring)
      let user = EngineUser(of: executor, ring: ring)
      await user.listen()
      // A pipe that nobody reads takes 64 KiB.
      var ends: [Int32] = [0, 0]
      try #require(unsafe pipe(&ends) == 0)
      let filler = [UInt8](repeating: 0, count: 64 << 10)
      try #require(unsafe write(ends[1], filler, filler.count) == filler.count)
      let task = Task { [end = ends[1]] in await user.write(1, to: end, at: 0) }
      try await eventually("the write is in flight") { ring.takenCount == 1 }
      _ = await user.threadName()
      executor.shutdown()
      _ = await task.value
    }
    let message = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(message.contains("test-in-flight"))
  }

  @Test func `using it after its shutdown ends the process, with its name`() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let ring = try RingExecutorTests.ring()
      let executor = try RingExecutor(name: "test-used-late", depth: 1, buffers: ring)
      let user = EngineUser(of: executor, ring: ring)
      _ = await user.threadName()
      executor.shutdown()
      _ = await user.threadName()
    }
    let message = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(message.contains("test-used-late"))
  }

  @Test func `claiming to be on it from another thread ends the process`() async {
    await #expect(processExitsWith: .failure) {
      let executor = try RingExecutor(name: "test-claim", depth: 1, buffers: RingExecutorTests.ring())
      executor.checkIsolated()
    }
  }
}
