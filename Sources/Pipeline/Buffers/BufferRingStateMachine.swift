/// Which buffers are free, and who waits for one; `BufferRing` asks it under its lock.
struct BufferRingStateMachine<Waiter>: ~Copyable {
  private var free: [Int]
  private let count: Int
  private var waiters = WaiterQueue<Waiter>()
  /// How many different buffers were ever handed out: so many are in memory, no more.
  private(set) var touched = 0

  init(count: Int) {
    precondition(count > 0, "a ring without buffers can serve nobody")
    self.count = count
    // The last is handed out first, so this order begins with buffer 0 and goes on to a higher one only
    // when all lower ones are in use.
    free = Array((0..<count).reversed())
  }

  /// Buffers that are out at this moment.
  var taken: Int { count - free.count }

  /// So many are in memory from now on, though nobody took them yet.
  mutating func touch(_ count: Int) { touched = max(touched, count) }

  enum TakeAction {
    case take(Int)
    case wait
  }

  mutating func take() -> TakeAction {
    guard let index = free.popLast() else { return .wait }
    touched = max(touched, index + 1)
    return .take(index)
  }

  enum WaitAction {
    case suspend
    /// Resume the waiter now, with this buffer or with none.
    case resume(Waiter, Int?)
  }

  mutating func waitToTake(id: UInt64, waiter: Waiter, isCancelled: Bool) -> WaitAction {
    guard !isCancelled else { return .resume(waiter, nil) }
    if case .take(let index) = take() { return .resume(waiter, index) }
    waiters.append(waiter, id: id)
    return .suspend
  }

  mutating func cancelWaiter(id: UInt64) -> Waiter? {
    waiters.remove(id: id)
  }

  /// Takes a buffer back. The result, if any, is to be resumed with it: it goes from hand to hand.
  mutating func giveBack(_ index: Int) -> Waiter? {
    if let waiter = waiters.removeFirst() { return waiter }
    precondition(free.count < count, "a buffer came back that was never out")
    free.append(index)
    return nil
  }
}
