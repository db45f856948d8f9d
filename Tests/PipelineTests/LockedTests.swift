import SluicePipeline
import Testing

@Suite(.timeLimit(.minutes(15))) struct LockedTests {
  @Test func `nobody else has the value while a body runs`() async {
    struct Pair {
      var first = 0
      var second = 0
    }
    let pair = Locked(Pair())
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<5_000 {
            pair.withLock { pair in
              let before = pair.first
              pair.second += 1
              pair.first = before + 1
            }
          }
        }
      }
    }
    let (first, second) = pair.withLock { ($0.first, $0.second) }
    #expect(first == 40_000)
    #expect(second == 40_000)
  }

  @Test func `a body that throws leaves the lock open`() throws {
    struct Broken: Error {}
    let value = Locked(1)
    #expect(throws: Broken.self) {
      try value.withLock { value throws(Broken) in
        value = 2
        throw Broken()
      }
    }
    #expect(value.withLock { $0 } == 2)
  }

  @Test func `the value goes with the lock`() {
    let ledger = Ledger()
    do {
      let token = Locked(ledger.makeToken())
      #expect(token.withLock { $0.id } == 1)
      #expect(ledger.aliveCount == 1)
    }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }
}
