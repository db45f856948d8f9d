/// A channel of at most `capacity` elements between any number of senders and receivers.
///
/// Sending suspends while the channel is full. This back-pressure keeps a pipeline within its memory.
/// Elements may be `~Copyable`, and no element is ever lost: one that cannot be sent is returned to its
/// sender, and those inside are deinitialised when the channel fails or is destroyed.
public final class BoundedChannel<Element: ~Copyable & Sendable, Failure: Error>: Sendable {
  private typealias Waiter = SuspendedTask<Bool>
  private typealias StateMachine = BoundedChannelStateMachine<Element, Failure, Waiter>

  private struct State: WaitedFor, ~Copyable {
    var machine: StateMachine
    var lastID: UInt64 = 0
  }

  private let state: Locked<State>

  /// - Parameters:
  ///   - capacity: the most elements the channel holds; at least 1.
  ///   - receiverBatch: a waiting receiver is woken when the channel has this many elements, by `flush`, or
  ///     when the channel ends. Waking a thread costs some 20 µs if its CPU sleeps, so it should find more
  ///     than one element. With a batch above 1, senders must call `flush` before they pause.
  ///   - senderBatch: a waiting sender is woken when there is room for this many elements.
  public init(capacity: Int, receiverBatch: Int = 1, senderBatch: Int = 1) {
    state = Locked(
      State(
        machine: StateMachine(
          capacity: capacity, receiverBatch: receiverBatch, senderBatch: senderBatch)))
  }

  /// The elements inside at this moment.
  public var count: Int { state.withLock { $0.machine.count } }

  /// Sends an element, waiting for room.
  ///
  /// - Returns: nil when the channel has taken the element; the element itself when the channel is
  ///   finished or failed, or the task was cancelled before there was room.
  public func send(_ element: consuming Element) async -> Element? {
    var element: Element? = consume element
    var granted = false
    while true {
      let action = state.withLock { state -> StateMachine.SendAction in
        guard let taken = element.take() else { preconditionFailure("an element is sent once") }
        return granted ? state.machine.sendReserved(taken) : state.machine.send(taken)
      }
      switch consume action {
      case .sent(let receiver):
        receiver?.resume(returning: true)
        return nil
      case .giveBack(let refused):
        return refused
      case .wait(let waiting):
        granted = await state.waitInLine(
          orElse: false, isolation: #isolation,
          enter: { $0.machine.waitToSend(id: $1, waiter: $2, isCancelled: $3).resumed },
          leave: { $0.machine.cancelSender(id: $1) })
        if !granted && Task.isCancelled { return waiting }
        element = consume waiting
      }
    }
  }

  /// Receives the oldest element, waiting for one.
  ///
  /// - Returns: nil when the channel is finished and empty, or the task was cancelled while the channel
  ///   was empty.
  /// - Throws: the failure that was given to `fail`.
  public func receive() async throws(Failure) -> Element? {
    var granted = false
    while true {
      let action = state.withLock { state -> StateMachine.ReceiveAction in
        granted ? state.machine.receiveReserved() : state.machine.receive()
      }
      switch consume action {
      case .received(let element, let sender):
        sender?.resume(returning: true)
        return element
      case .finished:
        return nil
      case .failed(let failure):
        throw failure
      case .wait:
        granted = await state.waitInLine(
          orElse: false, isolation: #isolation,
          enter: { $0.machine.waitToReceive(id: $1, waiter: $2, isCancelled: $3).resumed },
          leave: { $0.machine.cancelReceiver(id: $1) })
        if !granted && Task.isCancelled { return nil }
      }
    }
  }

  /// Receives the oldest element if there is one.
  ///
  /// - Returns: nil when the channel is empty at this moment.
  /// - Throws: the failure that was given to `fail`.
  public func receiveIfAny() throws(Failure) -> Element? {
    let action = state.withLock { $0.machine.receive() }
    switch consume action {
    case .received(let element, let sender):
      sender?.resume(returning: true)
      return element
    case .failed(let failure):
      throw failure
    case .finished:
      return nil
    case .wait:
      return nil
    }
  }

  /// Wakes receivers for the elements inside, even if these are fewer than a batch.
  public func flush() {
    for waiter in state.withLock({ $0.machine.flush() }) { waiter.resume(returning: true) }
  }

  /// Declares that no more elements will be sent. Elements inside are still received; later sends return
  /// their element. A second call, or a call after `fail`, does nothing.
  public func finish() {
    let waiters = state.withLock { $0.machine.finish() }
    for waiter in waiters { waiter.resume(returning: false) }
  }

  /// Ends the channel at once: elements inside are dropped, receivers throw `failure`, senders get
  /// their element back. Later failures are ignored.
  public func fail(_ failure: Failure) {
    let action = state.withLock { $0.machine.fail(failure) }
    for waiter in action.wake { waiter.resume(returning: false) }
  }
}
