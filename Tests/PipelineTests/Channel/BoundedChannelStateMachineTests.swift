import SluiceTestSupport
import Testing

@testable import SluicePipeline

/// Serialised, since these tests compute all the time: together they would keep every thread of the pool
/// from the tests that wait for each other.
@Suite(.serialized) struct BoundedChannelStateMachineTests {
  static let enumeratedSizes = [
    ChannelModel.Size(capacity: 1, senders: 1, receivers: 1),
    ChannelModel.Size(capacity: 1, senders: 2, receivers: 2),
    ChannelModel.Size(capacity: 2, senders: 2, receivers: 2),
    ChannelModel.Size(capacity: 3, senders: 2, receivers: 2),
    ChannelModel.Size(capacity: 1, senders: 3, receivers: 1),
    ChannelModel.Size(capacity: 1, senders: 1, receivers: 3),
    ChannelModel.Size(capacity: 1, senders: 3, receivers: 2),
    ChannelModel.Size(capacity: 1, senders: 2, receivers: 3),
  ]

  /// Breadth first, so that the path in a failure's message is a shortest one. A machine cannot be copied,
  /// so every path is walked from its start.
  @Test(arguments: enumeratedSizes)
  func `does what the model does, for every input in every reachable state`(size: ChannelModel.Size) throws {
    let ledger = Ledger()
    var seen: Set<ChannelModel.Snapshot> = [ChannelModel(size: size, ledger: ledger).snapshot]
    var frontier: [[ChannelModel.Input]] = [[]]
    var kinds: Set<ChannelModel.Kind> = []
    while !frontier.isEmpty {
      var next: [[ChannelModel.Input]] = []
      for path in frontier {
        var model = ChannelModel(size: size, ledger: ledger)
        for input in path { try model.apply(input) }
        for input in model.inputs {
          kinds.insert(input.kind)
          model = ChannelModel(size: size, ledger: ledger)
          for input in path { try model.apply(input) }
          try model.apply(input)
          if seen.insert(model.snapshot).inserted { next.append(path + [input]) }
        }
      }
      frontier = next
    }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
    // The search itself must have gone everywhere: a model that offers nothing finds nothing.
    #expect(kinds == Set(ChannelModel.Kind.allCases))
    #expect(seen.count > 50)
  }

  @Test(arguments: 1...3, 0..<4)
  func `does what the model does over long random walks`(capacity: Int, seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed * 10 + capacity))
    let ledger = Ledger()
    for _ in 0..<20 {
      let size = ChannelModel.Size(
        capacity: capacity, senders: .random(in: 1...5, using: &random),
        receivers: .random(in: 1...5, using: &random))
      var model = ChannelModel(size: size, ledger: ledger)
      for step in 0..<300 {
        // An ended channel has little left to do, so the end comes late.
        let inputs = model.inputs.filter { step > 250 || !$0.kind.isEnd }
        guard let input = inputs.randomElement(using: &random) else { break }
        try model.apply(input)
      }
    }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }

  @Test func `a place that was promised to nobody is not there to be taken`() async {
    await #expect(processExitsWith: .failure) {
      var machine = BoundedChannelStateMachine<Int, Never, Int>(capacity: 1)
      _ = machine.sendReserved(1)
    }
  }

  @Test func `an element that was promised to nobody is not there to be taken`() async {
    await #expect(processExitsWith: .failure) {
      var machine = BoundedChannelStateMachine<Int, Never, Int>(capacity: 1)
      _ = machine.receiveReserved()
    }
  }
}
