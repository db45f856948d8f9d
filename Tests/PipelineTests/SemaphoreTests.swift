import Glibc
import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(15))) struct SemaphoreTests {
  @Test func `signals that came before count`() {
    let semaphore = Semaphore()
    for _ in 0..<3 { semaphore.signal() }
    for _ in 0..<3 { semaphore.wait() }
  }

  /// A signal that is lost leaves a thread behind; one too many lets a thread go on for nothing.
  @Test func `each signal lets one thread go on, whoever comes first`() {
    let (semaphore, passed) = (Semaphore(), Locked(0))
    let each = 5_000
    let waiters = (0..<6).map { number in
      let thread = NamedThread(name: "test-wait-\(number)")
      thread.begin {
        for _ in 0..<each {
          semaphore.wait()
          passed.withLock { $0 += 1 }
        }
      }
      return thread
    }
    let signallers = (0..<3).map { number in
      let thread = NamedThread(name: "test-signal-\(number)")
      thread.begin {
        for _ in 0..<2 * each { semaphore.signal() }
      }
      return thread
    }
    for thread in signallers + waiters { thread.join() }
    #expect(passed.withLock { $0 } == 6 * each)
  }

  @Test func `nobody goes on without a signal`() {
    let (semaphore, passed) = (Semaphore(), Locked(0))
    let threads = (0..<4).map { number in
      let thread = NamedThread(name: "test-hold-\(number)")
      thread.begin {
        semaphore.wait()
        passed.withLock { $0 += 1 }
      }
      return thread
    }
    for count in 1...4 {
      semaphore.signal()
      while passed.withLock({ $0 }) < count { sched_yield() }
      #expect(passed.withLock { $0 } == count)
    }
    for thread in threads { thread.join() }
  }

  /// `sem_wait` returns early when a handler has run (EINTR).
  @Test func `a signal handler is no reason to go on`() async {
    await #expect(processExitsWith: .success) {
      // A watchdog: the signal ends this process.
      alarm(300)
      // Without SA_RESTART, or the kernel would wait again by itself.
      var action = sigaction()
      unsafe action.__sigaction_handler.sa_handler = { _ in }
      try #require(unsafe sigaction(SIGUSR1, &action, nil) == 0)
      let (semaphore, thread) = (Semaphore(), Locked<pthread_t?>(nil))
      let passed = Locked(false)
      let waiter = NamedThread(name: "test-interrupt")
      waiter.begin {
        thread.withLock { $0 = pthread_self() }
        semaphore.wait()
        passed.withLock { $0 = true }
      }
      while thread.withLock({ $0 }) == nil { sched_yield() }
      for _ in 0..<2_000 {
        if let thread = thread.withLock({ $0 }) { pthread_kill(thread, SIGUSR1) }
        sched_yield()
      }
      #expect(!passed.withLock { $0 })
      semaphore.signal()
      waiter.join()
      #expect(passed.withLock { $0 })
    }
  }
}
