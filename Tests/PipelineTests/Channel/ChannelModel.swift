@testable import SluicePipeline

/// A channel's machine, the tasks around it, and what must be true of both.
///
/// It holds elements in an array and promises in what each task was told; the machine counts them. Where
/// the two disagree, `apply` throws.
struct ChannelModel: ~Copyable {
  typealias Machine = BoundedChannelStateMachine<Token, Broken, Party>

  struct Size: Hashable, Sendable {
    let capacity: Int
    let senders: Int
    let receivers: Int
  }

  struct Broken: Error, Hashable { let number: Int }

  /// A task; it is also what the machine keeps as its waiter.
  enum Party: Hashable {
    case sender(Int)
    case receiver(Int)
  }

  /// What a task was told last, and so may do next.
  enum Standing: Hashable {
    /// It is outside and may begin.
    case idle
    /// It was told to wait and has not got in line yet.
    case toldToWait
    case inLine
    /// It was woken with a promise.
    case granted
    /// It was woken because the channel ended.
    case ended
  }

  enum Kind: Hashable, CaseIterable {
    case begin, enter, enterCancelled, cancel, redeem, retry, finish, fail

    var isEnd: Bool { self == .finish || self == .fail }
  }

  struct Input: Hashable, CustomStringConvertible {
    let kind: Kind
    let party: Party?

    var description: String { party.map { "\(kind) \($0)" } ?? "\(kind)" }
  }

  enum Phase: Hashable {
    case open, finished
    case failed(Int)
  }

  /// All that decides what can happen next; which elements they are does not.
  struct Snapshot: Hashable {
    let phase: Phase
    let count: Int
    let senders: [Standing]
    let receivers: [Standing]
    let senderLine: [Int]
    let receiverLine: [Int]
  }

  struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  private final class Hand {
    var token: Token?
    var id: UInt64 = 0
  }

  private let capacity: Int
  private let ledger: Ledger
  private var machine: Machine
  private var phase = Phase.open
  /// The elements that are inside, oldest first.
  private var inside: [Int] = []
  private var senders: [Standing]
  private var receivers: [Standing]
  /// What the senders hold that were told to wait, and the numbers that all stand in line by.
  private let senderHands: [Hand]
  private let receiverHands: [Hand]
  private var senderLine: [Int] = []
  private var receiverLine: [Int] = []
  private var failures = 0
  private var lastID: UInt64 = 0
  private var history: [Input] = []

  init(size: Size, ledger: Ledger) {
    capacity = size.capacity
    self.ledger = ledger
    machine = Machine(capacity: size.capacity)
    senders = Array(repeating: .idle, count: size.senders)
    receivers = Array(repeating: .idle, count: size.receivers)
    senderHands = (0..<size.senders).map { _ in Hand() }
    receiverHands = (0..<size.receivers).map { _ in Hand() }
  }

  var snapshot: Snapshot {
    Snapshot(
      phase: phase, count: inside.count, senders: senders, receivers: receivers,
      senderLine: senderLine, receiverLine: receiverLine)
  }

  /// All that may happen next.
  var inputs: [Input] {
    var inputs = [Input(kind: .finish, party: nil), Input(kind: .fail, party: nil)]
    let parties =
      senders.enumerated().map { (Party.sender($0), $1) }
      + receivers.enumerated().map { (Party.receiver($0), $1) }
    for (party, standing) in parties {
      // A cancellation may come at any time, also when there is nobody in line to cancel any more.
      let kinds: [Kind] =
        switch standing {
        case .idle: [.begin, .cancel]
        case .toldToWait: [.enter, .enterCancelled, .cancel]
        case .inLine: [.cancel]
        case .granted: [.redeem, .cancel]
        case .ended: [.retry, .cancel]
        }
      inputs += kinds.map { Input(kind: $0, party: party) }
    }
    return inputs
  }

  /// Feeds the machine and compares what it does.
  mutating func apply(_ input: Input) throws {
    history.append(input)
    switch (input.kind, input.party) {
    case (.begin, .sender(let index)):
      senderHands[index].token = ledger.makeToken()
      try send(index, redeeming: false)
    case (.retry, .sender(let index)):
      try check(phase != .open, "a sender was woken without a promise from an open channel")
      try send(index, redeeming: false)
    case (.redeem, .sender(let index)): try send(index, redeeming: true)
    case (.enter, .sender(let index)): try enterAsSender(index, isCancelled: false)
    case (.enterCancelled, .sender(let index)): try enterAsSender(index, isCancelled: true)
    case (.cancel, .sender(let index)): try cancelSender(index)
    case (.begin, .receiver(let index)): try receive(index, redeeming: false)
    case (.retry, .receiver(let index)):
      try check(phase != .open, "a receiver was woken without a promise from an open channel")
      try receive(index, redeeming: false)
    case (.redeem, .receiver(let index)): try receive(index, redeeming: true)
    case (.enter, .receiver(let index)): try enterAsReceiver(index, isCancelled: false)
    case (.enterCancelled, .receiver(let index)): try enterAsReceiver(index, isCancelled: true)
    case (.cancel, .receiver(let index)): try cancelReceiver(index)
    case (.finish, _): try finish()
    case (.fail, _): try fail()
    case (_, nil): throw Violation(description: "\(input) needs a task")
    }
    try checkInvariants()
  }

  // MARK: What is true by the tasks' standing alone

  private var grantedSenders: Int { senders.count { $0 == .granted } }
  private var grantedReceivers: Int { receivers.count { $0 == .granted } }
  private var hasRoom: Bool { inside.count + grantedSenders < capacity }
  private var hasFreeElement: Bool { inside.count > grantedReceivers }

  private func checkInvariants() throws {
    let alive = ledger.aliveCount
    let held = senderHands.count { $0.token != nil }
    try check(alive == inside.count + held, "\(alive) elements exist, \(inside.count) inside, \(held) held")
    try check(ledger.endedTwice.isEmpty, "elements \(ledger.endedTwice) ended twice")
    let count = machine.count
    try check(count == inside.count, "the machine counts \(count) elements")
    guard case .open = phase else {
      try check(senderLine.isEmpty && receiverLine.isEmpty, "somebody waits at a channel that has ended")
      return
    }
    try check(inside.count + grantedSenders <= capacity, "more is inside or promised than there is room for")
    try check(grantedReceivers <= inside.count, "more elements are promised than there are")
    try check(senderLine.isEmpty || !hasRoom, "a sender waits although there is room")
    try check(receiverLine.isEmpty || !hasFreeElement, "a receiver waits although there is an element")
  }

  // MARK: Inputs

  private mutating func send(_ index: Int, redeeming: Bool) throws {
    let hand = senderHands[index]
    guard let token = hand.token.take() else { throw Violation(description: "sender \(index) has nothing") }
    let id = token.id
    senders[index] = .idle
    // With its own promise redeemed, its place counts as room.
    let mustTake = hasRoom
    let action = redeeming ? machine.sendReserved(token) : machine.send(token)
    switch consume action {
    case .sent(let woken):
      try check(phase == .open, "an element went into a channel that has ended")
      try check(mustTake, "an element went in although there was no room")
      inside.append(id)
      try wakeReceiver(woken)
    case .giveBack(let refused):
      try check(phase != .open, "an open channel refused an element")
      try check(refused.id == id, "another element came back")
    case .wait(let waiting):
      try check(phase == .open, "an ended channel lets a sender wait")
      try check(!mustTake, redeeming ? "a promised place was not there" : "there was room")
      try check(waiting.id == id, "another element came back")
      hand.token = consume waiting
      senders[index] = .toldToWait
    }
  }

  private mutating func receive(_ index: Int, redeeming: Bool) throws {
    receivers[index] = .idle
    let mustGive = hasFreeElement
    let action = redeeming ? machine.receiveReserved() : machine.receive()
    switch consume action {
    case .received(let token, let woken):
      let oldest = inside.first
      try check(token.id == oldest, "element \(token.id) came, not the oldest")
      inside.removeFirst()
      try check(mustGive, "a promised element was given to somebody else")
      if case .failed = phase { throw violation("a failed channel gave an element") }
      try wakeSender(woken)
    case .finished:
      try check(phase == .finished, "a channel that is not finished said so")
      try check(!mustGive, "there was an element left")
    case .failed(let failure):
      try check(phase == .failed(failure.number), "not the first failure was reported")
    case .wait:
      try check(phase == .open, "an ended channel lets a receiver wait")
      try check(!mustGive, redeeming ? "a promised element was not there" : "there was an element")
      receivers[index] = .toldToWait
    }
  }

  private mutating func enterAsSender(_ index: Int, isCancelled: Bool) throws {
    lastID += 1
    senderHands[index].id = lastID
    let mustGrant = phase == .open && !isCancelled && hasRoom
    let mustSuspend = phase == .open && !isCancelled && !hasRoom
    switch machine.waitToSend(id: lastID, waiter: .sender(index), isCancelled: isCancelled) {
    case .suspend:
      try check(mustSuspend, "a sender was put in line")
      senders[index] = .inLine
      senderLine.append(index)
    case .resume(let waiter, let granted):
      try check(waiter == .sender(index), "another task was resumed")
      try check(!mustSuspend && granted == mustGrant, "a sender was resumed with granted \(granted)")
      try leaveLine(sender: index, granted: granted, isCancelled: isCancelled)
    }
  }

  private mutating func enterAsReceiver(_ index: Int, isCancelled: Bool) throws {
    lastID += 1
    receiverHands[index].id = lastID
    let mustGrant = phase == .open && !isCancelled && hasFreeElement
    let mustSuspend = phase == .open && !isCancelled && !hasFreeElement
    switch machine.waitToReceive(id: lastID, waiter: .receiver(index), isCancelled: isCancelled) {
    case .suspend:
      try check(mustSuspend, "a receiver was put in line")
      receivers[index] = .inLine
      receiverLine.append(index)
    case .resume(let waiter, let granted):
      try check(waiter == .receiver(index), "another task was resumed")
      try check(!mustSuspend && granted == mustGrant, "a receiver was resumed with granted \(granted)")
      receivers[index] = granted ? .granted : isCancelled ? .idle : .ended
    }
  }

  private mutating func cancelSender(_ index: Int) throws {
    let wasInLine = senders[index] == .inLine
    let waiter = machine.cancelSender(id: senderHands[index].id)
    try check(
      waiter == (wasInLine ? .sender(index) : nil), "cancelling a sender found \(String(describing: waiter))")
    guard wasInLine else { return }
    senderLine.removeAll { $0 == index }
    try leaveLine(sender: index, granted: false, isCancelled: true)
  }

  private mutating func cancelReceiver(_ index: Int) throws {
    let wasInLine = receivers[index] == .inLine
    let waiter = machine.cancelReceiver(id: receiverHands[index].id)
    try check(
      waiter == (wasInLine ? .receiver(index) : nil),
      "cancelling a receiver found \(String(describing: waiter))")
    guard wasInLine else { return }
    receiverLine.removeAll { $0 == index }
    receivers[index] = .idle
  }

  private mutating func finish() throws {
    let woken = machine.finish()
    guard phase == .open else { return try check(woken.isEmpty, "a second end woke somebody") }
    phase = .finished
    try endAll(woken)
  }

  private mutating func fail() throws {
    failures += 1
    let aliveBefore = ledger.aliveCount
    let action = machine.fail(Broken(number: failures))
    let woken = action.wake
    try check(ledger.aliveCount == aliveBefore, "elements ended under the lock")
    if case .failed = phase { return try check(woken.isEmpty, "a second failure woke somebody") }
    phase = .failed(failures)
    inside = []
    try endAll(woken)
  }

  // MARK: Who is woken

  private mutating func wakeReceiver(_ woken: Party?) throws {
    let longest = receiverLine.first
    try check(woken == longest.map { .receiver($0) }, "an element woke \(String(describing: woken))")
    guard let longest else { return }
    receiverLine.removeFirst()
    receivers[longest] = .granted
  }

  private mutating func wakeSender(_ woken: Party?) throws {
    // An ended channel has sent all its senders away already.
    let longest = senderLine.first
    try check(woken == longest.map { .sender($0) }, "a free place woke \(String(describing: woken))")
    guard let longest else { return }
    senderLine.removeFirst()
    senders[longest] = .granted
  }

  private mutating func endAll(_ woken: [Party]) throws {
    let waiting = senderLine.map { Party.sender($0) } + receiverLine.map { Party.receiver($0) }
    try check(woken.count == waiting.count && Set(woken) == Set(waiting), "the end woke \(woken)")
    for index in senderLine { senders[index] = .ended }
    for index in receiverLine { receivers[index] = .ended }
    senderLine = []
    receiverLine = []
  }

  private mutating func leaveLine(sender index: Int, granted: Bool, isCancelled: Bool) throws {
    senders[index] = granted ? .granted : isCancelled ? .idle : .ended
    // A cancelled sender goes away with its element.
    if senders[index] == .idle { senderHands[index].token = nil }
  }

  // MARK: Saying what is wrong

  private func violation(_ message: String) -> Violation {
    Violation(description: "\(message); state \(snapshot) after \(history)")
  }

  private func check(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw violation(message()) }
  }
}
