import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(15))) struct NamedThreadTests {
  @Test func `any number of threads can wait for its end, and all of them do`() {
    for _ in 0..<100 {
      let (thread, goOn, hasEnded) = (NamedThread(name: "test-joined"), Semaphore(), Locked(false))
      thread.begin {
        goOn.wait()
        hasEnded.withLock { $0 = true }
      }
      let tooEarly = Locked(0)
      let others = (0..<4).map { number in
        let other = NamedThread(name: "test-joins-\(number)")
        other.begin {
          thread.join()
          if !hasEnded.withLock({ $0 }) { tooEarly.withLock { $0 += 1 } }
        }
        return other
      }
      goOn.signal()
      for other in others { other.join() }
      #expect(tooEarly.withLock { $0 } == 0)
      // It has ended already.
      thread.join()
    }
  }

  @Test func `one that was never started need not be waited for`() {
    NamedThread(name: "test-unstarted").join()
  }

  @Test func `knows whether it is the one that runs, to its end`() {
    let (thread, inside) = (NamedThread(name: "test-current"), Locked(false))
    #expect(!thread.isCurrent)
    // That it is told so needs the handle, which `start` has only when the thread may run already.
    thread.begin { inside.withLock { $0 = thread.isCurrent } }
    thread.join()
    #expect(inside.withLock { $0 })
    #expect(!thread.isCurrent)
  }

  @Test func `waiting for its own end ends the process, even while another waits`() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let (thread, goOn) = (NamedThread(name: "test-own-end"), Semaphore())
      thread.begin {
        goOn.wait()
        thread.join()
      }
      let other = NamedThread(name: "test-waits")
      other.begin {
        goOn.signal()
        thread.join()
      }
      other.join()
    }
    let message = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(message.contains("test-own-end"))
  }
}
