import Glibc
import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(15))) struct ThreadExecutorTests {
  @Test func `an actor runs on its thread before and after every suspension`() async {
    let (one, other) = (makeExecutor(name: "test-one"), makeExecutor(name: "test-other"))
    let (caller, callee) = (Stage(on: one), Stage(on: other))
    for _ in 0..<200 {
      #expect(await caller.namesAroundCall(to: callee) == ["test-one", "test-other", "test-one"])
    }
    one.shutdown()
    other.shutdown()
  }

  @Test func `a task that prefers it runs on it, with its children, but for what belongs to an actor`() async
  {
    let executor = makeExecutor(name: "test-preferred")
    let own = makeExecutor(name: "test-own")
    let stage = Stage(on: own)
    let names = await Task(executorPreference: executor) {
      var names = [await Self.nameOfConcurrentFunction()]
      names += await withTaskGroup(of: String.self) { group in
        for _ in 0..<4 { group.addTask { Kernel.threadName } }
        return await group.reduce(into: []) { $0.append($1) }
      }
      names.append(await stage.name())
      names.append(await Self.nameOfConcurrentFunction())
      return names
    }.value
    let preferred = Array(repeating: "test-preferred", count: 5)
    #expect(names == preferred + ["test-own", "test-preferred"])
    #expect(
      await withTaskExecutorPreference(executor) { await Self.nameOfConcurrentFunction() } == "test-preferred"
    )
    executor.shutdown()
    own.shutdown()
  }

  @Test func `a task group's child can be sent to it`() async {
    let executor = makeExecutor(name: "test-child")
    let name = await withTaskGroup(of: String.self) { group in
      group.addTask(executorPreference: executor) { Kernel.threadName }
      return await group.next()
    }
    #expect(name == "test-child")
    executor.shutdown()
  }

  @Test func `work is done in the order it came, and all of it before the thread ends`() {
    let (executor, opener) = (makeExecutor(name: "test-order"), makeExecutor(name: "test-opener"))
    let (isIn, goOn) = (Gate(), Gate())
    let order = Locked<[Int]>([])
    // This holds the thread up, so that the rest is still to be done when the shutdown begins.
    executor.perform {
      isIn.open()
      goOn.waitUntilOpen()
    }
    isIn.waitUntilOpen()
    for number in 0..<100 {
      executor.perform { order.withLock { $0.append(number) } }
    }
    opener.perform { goOn.open() }
    executor.shutdown()
    opener.shutdown()
    #expect(order.withLock { $0 } == Array(0..<100))
  }

  @Test func `a name that is too long for the kernel is cut off`() async {
    let executor = makeExecutor(name: "a-name-of-more-than-fifteen-bytes")
    #expect(executor.name == "a-name-of-more-than-fifteen-bytes")
    #expect(await Stage(on: executor).name() == "a-name-of-more-")
    executor.shutdown()
  }

  @Test func `shutdown ends the thread, and a second one does nothing`() async {
    let executor = makeExecutor(name: "test-shutdown")
    let id = await Stage(on: executor).threadID()
    #expect(Kernel.hasThread(id: id))
    executor.shutdown()
    // A joined thread has left user space; the kernel takes it off its list within the same moment.
    while Kernel.hasThread(id: id) { await Task.yield() }
    executor.shutdown()
  }

  @Test func `what was enqueued before the shutdown still runs, and runs isolated`() async {
    var isolated = 0
    for _ in 0..<100 {
      let executor = makeExecutor(name: "test-last-jobs")
      let stage = Stage(on: executor)
      let (isIn, goOn) = (Gate(), Gate())
      // The job holds the thread up until the shutdown has begun.
      let job = Task { await stage.pass(isIn, waitingFor: goOn) }
      isIn.waitUntilOpen()
      let shutdown = Task.detached { executor.shutdown() }
      await Task.yield()
      goOn.open()
      if await job.value { isolated += 1 }
      await shutdown.value
    }
    #expect(isolated == 100)
  }

  @Test func `many executors come and go`() async {
    for _ in 0..<20 {
      let executors = (0..<16).map { makeExecutor(name: "test-many-\($0)") }
      let names = await withTaskGroup(of: (Int, String).self) { group in
        for (index, executor) in executors.enumerated() {
          group.addTask { (index, await Stage(on: executor).name()) }
        }
        return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
      }
      for index in executors.indices { #expect(names[index] == "test-many-\(index)") }
      for executor in executors { executor.shutdown() }
    }
  }

  /// The runtime holds no reference while it enqueues: the job may have run, and the executor be gone, before the
  /// enqueuing thread has left it.
  @Test func `can go away while the thread that enqueued the last job is still about it`() async {
    await #expect(processExitsWith: .success) {
      // A watchdog: the signal ends this process.
      alarm(300)
      await withTaskGroup { group in
        for _ in 0..<4 {
          group.addTask {
            for _ in 0..<10_000 {
              let executor = makeExecutor(name: "test-short-life")
              #expect(await Stage(on: executor).name() == "test-short-life")
              executor.shutdown()
            }
          }
        }
      }
    }
  }

  @Test func `knows whether it is the one that runs`() async {
    let executor = makeExecutor(name: "test-isolation")
    let stage = Stage(on: executor)
    #expect(executor.isIsolatingCurrentContext() == false)
    #expect(await stage.isIsolating(executor))
    #expect(await stage.assumesIsolation())
    executor.shutdown()
  }

  @Test func `claiming to be on it from another thread ends the process`() async {
    await #expect(processExitsWith: .failure) {
      let executor = makeExecutor(name: "test-claim")
      executor.checkIsolated()
    }
  }

  @Test func `using it after its shutdown ends the process, with its name`() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let executor = makeExecutor(name: "test-used-late")
      let stage = Stage(on: executor)
      _ = await stage.name()
      executor.shutdown()
      _ = await stage.name()
    }
    let message = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(message.contains("test-used-late"))
  }

  @Test func `shutting it down from its own thread ends the process instead of waiting for ever`() async {
    await #expect(processExitsWith: .failure) {
      let executor = makeExecutor(name: "test-own-end")
      await Stage(on: executor).shutDown(executor)
    }
  }

  @concurrent private static func nameOfConcurrentFunction() async -> String {
    await Task.yield()
    return Kernel.threadName
  }
}

/// An actor on a thread of its own, as the stages of a pipeline are.
private actor Stage {
  private let executor: ThreadExecutor
  private var calls = 0

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  init(on executor: ThreadExecutor) {
    self.executor = executor
  }

  func name() -> String { Kernel.threadName }

  func threadID() -> Int { Kernel.threadID }

  func namesAroundCall(to other: Stage) async -> [String] {
    let before = Kernel.threadName
    let inside = await other.name()
    return [before, inside, Kernel.threadName]
  }

  func isIsolating(_ executor: ThreadExecutor) -> Bool {
    executor.isIsolatingCurrentContext() == true
  }

  nonisolated func assumesIsolation() async -> Bool {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask(executorPreference: executor) { self.callsAssumingIsolation() == 0 }
      return await group.next() ?? false
    }
  }

  private nonisolated func callsAssumingIsolation() -> Int {
    assumeIsolated { $0.calls }
  }

  func pass(_ isIn: Gate, waitingFor goOn: Gate) -> Bool {
    isIn.open()
    goOn.waitUntilOpen()
    preconditionIsolated()
    return executor.isIsolatingCurrentContext() == true
  }

  func shutDown(_ executor: ThreadExecutor) {
    executor.shutdown()
  }
}

/// Blocks threads until another opens it.
private final class Gate: Sendable {
  private let isOpen = Locked(false)

  func open() {
    isOpen.withLock { $0 = true }
    isOpen.signal()
  }

  func waitUntilOpen() {
    isOpen.waitWithLock { $0 ? () : nil }
  }
}
