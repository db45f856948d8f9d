import SluicePipeline
import SluiceTestSupport
import Testing

@Suite(.timeLimit(.minutes(15))) struct BoundedChannelTests {
  struct Broken: Error, Hashable { let number: Int }
  typealias Channel = BoundedChannel<Token, Broken>

  @Test(arguments: [1, 2, 7], [(1, 1), (1, 4), (4, 1), (4, 4)])
  func `every element arrives exactly once`(capacity: Int, parties: (senders: Int, receivers: Int))
    async throws
  {
    let ledger = Ledger()
    let channel = Channel(capacity: capacity)
    let each = 1_000
    let received = try await withThrowingTaskGroup(of: [Int].self) { group in
      for _ in 0..<parties.receivers {
        group.addTask {
          var ids: [Int] = []
          while let token = try await channel.receive() { ids.append(token.id) }
          return ids
        }
      }
      await withTaskGroup { senders in
        for _ in 0..<parties.senders {
          senders.addTask {
            for _ in 0..<each {
              let refused = await channel.send(ledger.makeToken())
              if refused != nil { Issue.record("an open channel gave an element back") }
            }
          }
        }
      }
      channel.finish()
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(received.flatMap(\.self).sorted() == Array(1...each * parties.senders))
    // One sender's elements are numbered in the order of sending: no receiver sees them out of it.
    if parties.senders == 1 {
      for ids in received { #expect(ids == ids.sorted()) }
    }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }

  @Test func `what is inside at the finish is still received`() async throws {
    let ledger = Ledger()
    let channel = Channel(capacity: 3)
    for _ in 0..<3 { #expect(await channel.isSent(ledger.makeToken())) }
    channel.finish()
    channel.finish()
    #expect(await channel.isSent(ledger.makeToken()) == false)
    for id in 1...3 { #expect(try await channel.receiveID() == id) }
    #expect(try await channel.receiveID() == nil)
    #expect(try await channel.receiveID() == nil)
    #expect(ledger.aliveCount == 0)
  }

  @Test func `what is inside at a failure is dropped, and the first failure stands`() async {
    let ledger = Ledger()
    let channel = Channel(capacity: 2)
    for _ in 0..<2 { #expect(await channel.isSent(ledger.makeToken())) }
    channel.fail(Broken(number: 1))
    #expect(ledger.aliveCount == 0)
    #expect(channel.count == 0)
    channel.fail(Broken(number: 2))
    channel.finish()
    await #expect(throws: Broken(number: 1)) { try await channel.receiveID() }
    #expect(await channel.isSent(ledger.makeToken()) == false)
    #expect(ledger.aliveCount == 0)
  }

  @Test func `a failure after the finish drops what was not received yet`() async {
    let ledger = Ledger()
    let channel = Channel(capacity: 2)
    #expect(await channel.isSent(ledger.makeToken()))
    channel.finish()
    channel.fail(Broken(number: 1))
    #expect(ledger.aliveCount == 0)
    await #expect(throws: Broken(number: 1)) { try await channel.receiveID() }
  }

  @Test func `what is inside when the channel goes away is let go of`() async {
    let ledger = Ledger()
    do {
      let channel = Channel(capacity: 2)
      for _ in 0..<2 { #expect(await channel.isSent(ledger.makeToken())) }
      #expect(ledger.aliveCount == 2)
    }
    #expect(ledger.aliveCount == 0)
    #expect(ledger.endedTwice.isEmpty)
  }

  @Test func `a cancelled task takes what is there but does not wait`() async throws {
    let ledger = Ledger()
    let channel = Channel(capacity: 1)
    let task = Task {
      unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
      var outcomes: [Bool] = []
      outcomes.append(await channel.isSent(ledger.makeToken()))
      outcomes.append(await channel.isSent(ledger.makeToken()))
      outcomes.append(try await channel.receiveID() == 1)
      outcomes.append(try await channel.receiveID() == nil)
      return outcomes
    }
    #expect(try await task.value == [true, false, true, true])
    #expect(ledger.aliveCount == 0)
  }

  /// The end comes when some are about to wait, some wait and some are on their way back.
  @Test(arguments: [false, true])
  func `the end of a channel sends everybody home`(byFailure: Bool) async {
    for round in 0..<300 {
      let ledger = Ledger()
      let capacity = 1 + round % 3
      let channel = Channel(capacity: capacity)
      let outcomes = await withTaskGroup(of: Tally.self) { group in
        for _ in 0..<3 {
          group.addTask { await Tally(sendingAllInto: channel, from: ledger) }
          group.addTask { await Tally(receivingAllFrom: channel) }
        }
        for _ in 0..<round % 20 { await Task.yield() }
        if byFailure { channel.fail(Broken(number: 1)) } else { channel.finish() }
        return await group.reduce(into: Tally()) { $0 += $1 }
      }
      #expect(outcomes.refused == 3)
      #expect(outcomes.failures == (byFailure ? 3 : 0))
      // A failure drops what is inside; a finish drops nothing.
      let dropped = outcomes.sent - outcomes.received
      #expect(byFailure ? (0...capacity).contains(dropped) : dropped == 0)
      #expect(ledger.madeCount == outcomes.sent + outcomes.refused)
      #expect(ledger.aliveCount == 0)
      #expect(ledger.endedTwice.isEmpty)
    }
  }

  @Test(arguments: 0..<4)
  func `cancellation at any moment loses neither an element nor a place`(seed: Int) async throws {
    var random = SplitMix(seed: UInt64(seed))
    for _ in 0..<500 {
      let capacity = Int.random(in: 1...3, using: &random)
      let ledger = Ledger()
      let channel = Channel(capacity: capacity)
      let senders = (0..<Int.random(in: 1...3, using: &random)).map { _ in
        Task { await Tally(sendingAllInto: channel, from: ledger) }
      }
      let receivers = (0..<Int.random(in: 1...3, using: &random)).map { _ in
        Task { await Tally(receivingAllFrom: channel) }
      }
      for task in (senders + receivers).shuffled(using: &random) {
        for _ in 0..<Int.random(in: 0...8, using: &random) { await Task.yield() }
        task.cancel()
      }
      var tally = Tally()
      for task in senders + receivers { tally += await task.value }
      let left = tally.sent - tally.received
      #expect(channel.count == left)
      #expect(ledger.aliveCount == left)
      #expect(tally.refused == senders.count)

      // A promise that was made to a task and never kept would be missing here.
      let probe = Task {
        unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
        var counts = (left: 0, room: 0, full: 0)
        while try await channel.receiveID() != nil { counts.left += 1 }
        while await channel.isSent(ledger.makeToken()) { counts.room += 1 }
        while try await channel.receiveID() != nil { counts.full += 1 }
        return counts
      }
      #expect(try await probe.value == (left, capacity, capacity))
      #expect(ledger.aliveCount == 0)
      #expect(ledger.endedTwice.isEmpty)
    }
  }
}

/// What tasks did with a channel.
private struct Tally: Sendable {
  var sent = 0
  var received = 0
  /// Elements that a sender got back, after which it gave up.
  var refused = 0
  var failures = 0

  init() {}

  /// Sends until an element comes back.
  init(sendingAllInto channel: BoundedChannelTests.Channel, from ledger: Ledger) async {
    while await channel.isSent(ledger.makeToken()) {
      sent += 1
      await Task.yield()
    }
    refused = 1
  }

  /// Receives until nothing comes any more.
  init(receivingAllFrom channel: BoundedChannelTests.Channel) async {
    do {
      while try await channel.receiveID() != nil { received += 1 }
    } catch {
      failures = 1
    }
  }

  static func += (left: inout Tally, right: Tally) {
    left.sent += right.sent
    left.received += right.received
    left.refused += right.refused
    left.failures += right.failures
  }
}

// `#expect` takes apart what it is given, which a token does not permit.
extension BoundedChannel<Token, BoundedChannelTests.Broken> {
  fileprivate func isSent(_ token: consuming Token) async -> Bool {
    let id = token.id
    guard let refused = await send(token) else { return true }
    #expect(refused.id == id)
    return false
  }

  fileprivate func receiveID() async throws(BoundedChannelTests.Broken) -> Int? {
    guard let token = try await receive() else { return nil }
    return token.id
  }
}
