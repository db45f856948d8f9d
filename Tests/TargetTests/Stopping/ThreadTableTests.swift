import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Thread table", .timeLimit(.minutes(15)))
struct ThreadTableTests {
  @Test func keepsTheThreadsInOrder() throws {
    var table = ThreadTable(capacity: 2)
    for id: Int32 in [30, 10, 20, 40, 5] { #expect(table.add(id) != nil) }
    #expect(table.threads.map(\.id) == [5, 10, 20, 30, 40])
    #expect(table.threads.allSatisfy { $0.state == .stopping })
  }

  /// What is listed is to be stopped if it is not known, and a thread that has gone is not.
  @Test func saysWhichHaveToBeStopped() throws {
    var table = ThreadTable(capacity: 4)
    #expect(!table.isSettled(7))
    _ = table.add(8, isFirst: true)
    #expect(table.threads.map(\.isFirst) == [true])
    table = ThreadTable(capacity: 4)
    let added = table.add(7)
    let place = try #require(added)
    for state: ThreadTable.State in [.stopping, .stopped(signal: 0), .stopped(signal: 9), .zombie] {
      table.note(state, at: place)
      if case .stopped = state { #expect(table.isSettled(7)) } else { #expect(!table.isSettled(7)) }
      #expect(table.add(7) == nil)
      #expect(table.threads == [.init(id: 7, isFirst: false, state: state)])
    }
    table.note(.gone, at: place)
    #expect(!table.isSettled(7))
    #expect(table.add(7) == place)
    #expect(table.threads == [.init(id: 7, isFirst: false, state: .stopping)])
  }

  /// Only a first thread stays on the list when it has ended.
  @Test func isSettledByTheEndOfAFirstThreadAlone() throws {
    var table = ThreadTable(capacity: 4)
    for (id, isFirst) in [(Int32(5), true), (Int32(6), false)] {
      let place = table.add(id, isFirst: isFirst)
      table.note(.zombie, at: try #require(place))
      #expect(table.isSettled(id) == isFirst)
    }
  }

  @Test func countsThoseThatStand() throws {
    var table = ThreadTable(capacity: 4)
    let states: [ThreadTable.State] = [.stopping, .stopped(signal: 0), .zombie, .stopped(signal: 9), .gone]
    for (index, state) in states.enumerated() {
      let place = table.add(Int32(index))
      table.note(state, at: try #require(place))
    }
    #expect(table.stoppedCount == 2)
  }

  /// The table against a dictionary, with threads that come, stop and go at random.
  @Test(arguments: 0..<20)
  func agreesWithADictionary(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    var table = ThreadTable(capacity: 8)
    var model: [Int32: ThreadTable.State] = [:]
    let states: [ThreadTable.State] = [
      .stopping, .stopped(signal: 0), .stopped(signal: 12), .zombie, .gone,
    ]
    for _ in 0..<2000 {
      let id = Int32.random(in: 1...100, using: &random)
      let isKnown = model[id] != nil && model[id] != .gone
      let isStanding = if case .stopped = model[id] { true } else { false }
      #expect(table.isSettled(id) == isStanding)
      if Bool.random(using: &random) {
        #expect((table.add(id) != nil) == !isKnown)
        if !isKnown { model[id] = .stopping }
      } else if let place = table.threads.firstIndex(where: { $0.id == id }) {
        let state = states[Int.random(in: 0..<states.count, using: &random)]
        table.note(state, at: place)
        model[id] = state
      }
    }
    #expect(table.threads.map(\.id) == model.keys.sorted())
    #expect(table.threads.allSatisfy { model[$0.id] == $0.state })
  }
}
