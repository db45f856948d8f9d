/// The decisions of a bounded channel, without locks, tasks or continuations: `BoundedChannel` calls
/// this machine under its lock and carries out the actions that are returned.
///
/// A sender or receiver that waited and is woken with `granted` holds a reservation: a free place, or
/// an element, that no other task can take first. So tasks are served in the order in which they
/// began to wait, and none is woken in vain.
struct BoundedChannelStateMachine<Element: ~Copyable, Failure: Error, Waiter>: ~Copyable {
  enum Phase {
    case open
    case finished
    case failed(Failure)
  }

  private(set) var phase = Phase.open
  private var elements: FixedQueue<Element>
  private let capacity: Int
  /// Free places that are promised to woken senders.
  private var reservedPlaces = 0
  /// Elements that are promised to woken receivers.
  private var reservedElements = 0
  private var senders = WaiterQueue<Waiter>()
  private var receivers = WaiterQueue<Waiter>()

  /// A waiting receiver is woken when this many elements are not promised to other receivers.
  private let receiverBatch: Int
  /// A waiting sender is woken when this many free places are not promised to other senders.
  private let senderBatch: Int

  init(capacity: Int, receiverBatch: Int = 1, senderBatch: Int = 1) {
    precondition(
      (1...capacity).contains(receiverBatch) && (1...capacity).contains(senderBatch),
      "a batch larger than the channel would never be complete")
    self.capacity = capacity
    self.receiverBatch = receiverBatch
    self.senderBatch = senderBatch
    elements = FixedQueue(capacity: capacity)
  }

  private var unpromisedElements: Int { elements.count - reservedElements }
  private var unpromisedPlaces: Int { capacity - elements.count - reservedPlaces }

  var count: Int { elements.count }

  // MARK: Sending

  enum SendAction: ~Copyable {
    /// The element is in; wake this receiver with `granted`.
    case sent(wake: Waiter?)
    /// The channel is closed: give the element back.
    case giveBack(Element)
    /// There is no room: wait, then call `sendReserved` or give the element back.
    case wait(Element)
  }

  mutating func send(_ element: consuming Element) -> SendAction {
    guard case .open = phase else { return .giveBack(element) }
    guard unpromisedPlaces > 0 else { return .wait(element) }
    elements.append(element)
    return .sent(wake: grantElement())
  }

  /// Sends into the place that was reserved when the sender was woken with `granted`.
  mutating func sendReserved(_ element: consuming Element) -> SendAction {
    precondition(reservedPlaces > 0, "a sender was woken without a place")
    reservedPlaces -= 1
    return send(element)
  }

  enum WaitAction {
    /// Wait: a later action will resume the waiter.
    case suspend
    /// Resume the waiter now.
    case resume(Waiter, granted: Bool)

    /// Who is resumed, and with what; nil where nobody is.
    var resumed: (Waiter, Bool)? {
      guard case .resume(let waiter, let granted) = self else { return nil }
      return (waiter, granted)
    }
  }

  /// Puts a sender in line, unless there is room by now, the channel has ended, or the task was cancelled.
  mutating func waitToSend(id: UInt64, waiter: Waiter, isCancelled: Bool) -> WaitAction {
    guard case .open = phase, !isCancelled else { return .resume(waiter, granted: false) }
    if unpromisedPlaces > 0 {
      reservedPlaces += 1
      return .resume(waiter, granted: true)
    }
    senders.append(waiter, id: id)
    return .suspend
  }

  /// Removes a sender whose task was cancelled from the line. The caller resumes the result, if any,
  /// with `granted: false`.
  mutating func cancelSender(id: UInt64) -> Waiter? {
    senders.remove(id: id)
  }

  // MARK: Receiving

  enum ReceiveAction: ~Copyable {
    /// The element; wake this sender with `granted`.
    case received(Element, wake: Waiter?)
    /// The channel is empty, and no more elements will come.
    case finished
    case failed(Failure)
    /// The channel is empty: wait, then call `receiveReserved` or `receive` again.
    case wait
  }

  mutating func receive() -> ReceiveAction {
    if case .failed(let failure) = phase { return .failed(failure) }
    if unpromisedElements > 0, let element = elements.removeFirst() {
      return .received(element, wake: grantPlace())
    }
    if case .finished = phase { return .finished }
    return .wait
  }

  /// Receives the element that was reserved when the receiver was woken with `granted`.
  mutating func receiveReserved() -> ReceiveAction {
    // A failure dropped the elements, and the reservations with them.
    if case .failed(let failure) = phase { return .failed(failure) }
    precondition(reservedElements > 0, "a receiver was woken without an element")
    reservedElements -= 1
    return receive()
  }

  mutating func waitToReceive(id: UInt64, waiter: Waiter, isCancelled: Bool) -> WaitAction {
    guard case .open = phase, !isCancelled else { return .resume(waiter, granted: false) }
    if unpromisedElements > 0 {
      reservedElements += 1
      return .resume(waiter, granted: true)
    }
    receivers.append(waiter, id: id)
    return .suspend
  }

  mutating func cancelReceiver(id: UInt64) -> Waiter? {
    receivers.remove(id: id)
  }

  /// Wakes receivers for the elements inside, however few. Returns the receivers to resume with `granted`.
  mutating func flush() -> [Waiter] {
    var woken: [Waiter] = []
    while unpromisedElements > 0, let receiver = receivers.removeFirst() {
      reservedElements += 1
      woken.append(receiver)
    }
    return woken
  }

  // MARK: Ending

  /// Refuses further elements; those inside are still received. Returns the waiters to resume with
  /// `granted: false`.
  mutating func finish() -> [Waiter] {
    guard case .open = phase else { return [] }
    phase = .finished
    return senders.removeAll() + receivers.removeAll()
  }

  struct FailAction: ~Copyable {
    let wake: [Waiter]
    /// The elements that were inside. The caller drops them outside the lock: their deinits may take
    /// other locks.
    let dropped: FixedQueue<Element>
  }

  /// Ends the channel at once for both sides and drops the elements inside. Later failures are ignored.
  mutating func fail(_ failure: Failure) -> FailAction {
    if case .failed = phase { return FailAction(wake: [], dropped: FixedQueue(capacity: 1)) }
    phase = .failed(failure)
    var dropped = FixedQueue<Element>(capacity: capacity)
    swap(&dropped, &elements)
    reservedElements = 0
    return FailAction(wake: senders.removeAll() + receivers.removeAll(), dropped: dropped)
  }

  // MARK: Promises

  private mutating func grantElement() -> Waiter? {
    guard unpromisedElements >= receiverBatch, let receiver = receivers.removeFirst() else { return nil }
    reservedElements += 1
    return receiver
  }

  private mutating func grantPlace() -> Waiter? {
    guard case .open = phase, unpromisedPlaces >= senderBatch, let sender = senders.removeFirst() else {
      return nil
    }
    reservedPlaces += 1
    return sender
  }
}
