import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite("Turns", .timeLimit(.minutes(1)))
struct TurnsTests {
  @Test func threadsTakeTheirTurnsInOrder() throws {
    let turns = Turns()
    let order = Locked<[UInt64]>([])
    let next = Locked<UInt64>(0)
    let threads = (0..<4).map { NamedThread(name: "turns-\($0)") }
    for thread in threads {
      try thread.start {
        while true {
          let number = next.withLock { next in
            defer { next += 1 }
            return next
          }
          guard number < 1000 else { return }
          guard turns.wait(for: number) else { return }
          order.withLock { $0.append(number) }
          turns.pass()
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(order.withLock { $0 } == Array(0..<1000))
  }

  @Test func theEndSendsEverybodyHome() throws {
    let turns = Turns()
    let refused = Locked(0)
    let threads = (1...3).map { NamedThread(name: "turns-\($0)") }
    for (number, thread) in threads.enumerated() {
      try thread.start {
        if !turns.wait(for: UInt64(number + 1)) { refused.withLock { $0 += 1 } }
      }
    }
    turns.end()
    for thread in threads { thread.join() }
    #expect(refused.withLock { $0 } == 3)
    #expect(!turns.wait(for: 0))
  }
}
