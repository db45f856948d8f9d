import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite struct ReorderBufferTests {
  /// Every order of up to six elements, taken out as soon as possible.
  @Test(arguments: 1...6) func `every order comes out in order`(count: Int) {
    for order in Self.permutations(count) {
      let ledger = Ledger()
      do {
        var buffer = ReorderBuffer<Token>(capacity: count)
        let tokens = Box(count: count, from: ledger)
        var next = 0
        var present: Set<Int> = []
        for sequence in order {
          if let token = tokens.take(sequence) { buffer.insert(token, sequence: UInt64(sequence)) }
          present.insert(sequence)
          while let token = buffer.removeNext() {
            #expect(token.id == next + 1)
            next += 1
          }
          #expect(!present.contains(next), "it was there and did not come out")
        }
        #expect(next == count)
      }
      #expect(ledger.aliveCount == 0)
    }
  }

  /// As the pipeline uses it: no more elements are out than fit, for ever.
  @Test(arguments: [1, 2, 7, 64]) func `goes round and round`(capacity: Int) {
    var random = SplitMix(seed: UInt64(capacity))
    var buffer = ReorderBuffer<UInt64>(capacity: capacity)
    var outside: [UInt64] = []
    var (made, taken): (UInt64, UInt64) = (0, 0)
    while taken < 5000 {
      // Each one that is outside or inside has one of `capacity` buffers.
      while made - taken < UInt64(capacity) {
        outside.append(made)
        made += 1
      }
      let sequence = outside.remove(at: Int.random(in: outside.indices, using: &random))
      buffer.insert(sequence, sequence: sequence)
      while let element = buffer.removeNext() {
        #expect(element == taken)
        taken += 1
        #expect(buffer.removedCount == taken)
      }
    }
  }

  @Test func `what was not taken out ends with it`() {
    let ledger = Ledger()
    do {
      var buffer = ReorderBuffer<Token>(capacity: 4)
      buffer.insert(ledger.makeToken(), sequence: 1)
      buffer.insert(ledger.makeToken(), sequence: 3)
      let isMissing = buffer.removeNext() == nil
      #expect(isMissing)
      #expect(ledger.aliveCount == 2)
    }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }

  @Test func `an element that is too far ahead ends the process, with its number`() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var buffer = ReorderBuffer<Int>(capacity: 2)
      buffer.insert(0, sequence: 2)
    }
    let message = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(message.contains("element 2 is too far from 0"))
  }

  @Test func `an element that came before ends the process`() async {
    await #expect(processExitsWith: .failure) {
      var buffer = ReorderBuffer<Int>(capacity: 2)
      buffer.insert(0, sequence: 0)
      _ = buffer.removeNext()
      buffer.insert(0, sequence: 0)
    }
  }

  private static func permutations(_ count: Int) -> [[Int]] {
    guard count > 0 else { return [[]] }
    return permutations(count - 1).flatMap { shorter in
      (0...shorter.count).map { place in
        var longer = shorter
        longer.insert(count - 1, at: place)
        return longer
      }
    }
  }
}

/// Tokens in places of their own, since an array cannot hold what cannot be copied.
private struct Box: ~Copyable {
  private var slots: [Slot]

  private final class Slot {
    var token: Token?
    init(_ token: consuming Token) { self.token = consume token }
  }

  init(count: Int, from ledger: Ledger) {
    slots = (0..<count).map { _ in Slot(ledger.makeToken()) }
  }

  func take(_ index: Int) -> Token? { slots[index].token.take() }
}
