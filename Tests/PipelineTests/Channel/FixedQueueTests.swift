import Testing

@testable import SluicePipeline

@Suite struct FixedQueueTests {
  @Test(arguments: 1...4)
  func `gives elements back in the order they came in, around the end of its storage`(capacity: Int) {
    let ledger = Ledger()
    var queue = FixedQueue<Token>(capacity: capacity)
    var expected: [Int] = []
    // Every fill level at every position of the head.
    for round in 0..<capacity * 4 {
      for _ in 0..<(round % capacity + 1) where queue.count < capacity {
        let token = ledger.makeToken()
        expected.append(token.id)
        queue.append(token)
      }
      #expect(queue.count == expected.count)
      if let first = queue.removeFirst() {
        let id = first.id
        #expect(id == expected.removeFirst())
      }
    }
    while let next = queue.removeFirst() {
      let id = next.id
      #expect(id == expected.removeFirst())
    }
    #expect(expected.isEmpty)
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }

  @Test(arguments: 0...3, 0...3)
  func `lets go of what is inside when it goes, once`(head: Int, count: Int) {
    let ledger = Ledger()
    do {
      var queue = FixedQueue<Token>(capacity: 3)
      for _ in 0..<head {
        queue.append(ledger.makeToken())
        _ = queue.removeFirst()
      }
      for _ in 0..<count { queue.append(ledger.makeToken()) }
      #expect(ledger.aliveCount == count)
    }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }

  @Test func `takes no more than its capacity`() async {
    await #expect(processExitsWith: .failure) {
      var queue = FixedQueue<Int>(capacity: 1)
      queue.append(1)
      queue.append(2)
    }
  }
}
