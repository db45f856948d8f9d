/// Which buffers are free, and who waits for one; `BufferRing` asks it under its lock.
///
/// No more buffers are handed out than its limit says. A buffer above the limit is *retired*: its memory goes back to the
/// kernel when it comes home, and it is handed out again only under a higher limit.
struct BufferRingStateMachine<Waiter>: ~Copyable {
  private enum Place {
    case free
    case out
    /// Home, and its memory is on the way back to the kernel.
    case emptying
    /// Above the limit, and without memory.
    case retired
  }

  private var places: [Place]
  private var free: [Int]
  private var waiters = WaiterQueue<Waiter>()
  /// Whether each buffer has memory.
  private var isTouched: [Bool]
  /// Buffers that are out at this moment.
  private(set) var taken = 0
  /// How many buffers have memory at this moment.
  private(set) var touched = 0
  /// The most buffers that ever had memory at once.
  private(set) var mostTouched = 0
  /// Buffers with this index and higher ones are not handed out.
  private(set) var limit: Int
  /// How many buffers must be home before somebody who waits is resumed; a quarter of the limit where that is less.
  var batch = 1

  init(count: Int) {
    precondition(count > 0, "a ring without buffers can serve nobody")
    limit = count
    places = Array(repeating: .free, count: count)
    isTouched = Array(repeating: false, count: count)
    // The last is handed out first, so this order begins with buffer 0 and goes on to a higher one only
    // when all lower ones are in use.
    free = Array((0..<count).reversed())
  }

  /// Whether no buffer above the limit has memory any more.
  var isWithinLimit: Bool { touched <= limit && !isTouched[limit...].contains(true) }

  /// Gives memory to as many free buffers as are missing to `count` with memory.
  ///
  /// - Returns: the buffers that get memory now. Nobody has them.
  mutating func touch(_ count: Int) -> [Int] {
    var added: [Int] = []
    for index in free.reversed() where touched < count && !isTouched[index] {
      markTouched(index)
      added.append(index)
    }
    return added
  }

  enum TakeAction {
    case take(Int)
    case wait
  }

  mutating func take() -> TakeAction {
    guard let index = free.popLast() else { return .wait }
    places[index] = .out
    taken += 1
    markTouched(index)
    return .take(index)
  }

  private mutating func markTouched(_ index: Int) {
    guard !isTouched[index] else { return }
    isTouched[index] = true
    touched += 1
    mostTouched = max(mostTouched, touched)
  }

  enum WaitAction {
    case suspend
    /// Resume the waiter now, with this buffer or with none.
    case resume(Waiter, Int?)

    /// Who is resumed, and with what; nil where nobody is.
    var resumed: (Waiter, Int?)? {
      guard case .resume(let waiter, let index) = self else { return nil }
      return (waiter, index)
    }
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

  enum GiveBackAction {
    case none
    /// Resume the waiter with the buffer, which goes from hand to hand.
    case resume(Waiter, Int)
    /// Give the buffer's memory back to the kernel, then call `emptied`.
    case empty(Int)
  }

  /// Takes a buffer back.
  mutating func giveBack(_ index: Int) -> GiveBackAction {
    precondition(places[index] == .out, "a buffer came back that was never out")
    guard index < limit else {
      places[index] = .emptying
      taken -= 1
      return .empty(index)
    }
    if free.count + 1 >= min(batch, limit / 4), let waiter = waiters.removeFirst() {
      return .resume(waiter, index)
    }
    places[index] = .free
    taken -= 1
    free.append(index)
    return .none
  }

  /// The memory of a buffer is back with the kernel.
  ///
  /// - Returns: a waiter that gets the buffer, where the limit was raised meanwhile.
  mutating func emptied(_ index: Int) -> (waiter: Waiter, index: Int)? {
    precondition(places[index] == .emptying, "a buffer was emptied that somebody may have")
    isTouched[index] = false
    touched -= 1
    places[index] = .retired
    return index < limit ? unretire([index]).first : nil
  }

  enum LimitAction {
    /// Give the memory of these buffers back to the kernel, calling `emptied` for each.
    case empty([Int])
    /// Resume these waiters with their buffers.
    case resume([(waiter: Waiter, index: Int)])
  }

  /// Changes how many buffers there may be; at most as many as the ring was made with.
  mutating func setLimit(_ newLimit: Int) -> LimitAction {
    let old = limit
    limit = max(0, min(newLimit, places.count))
    if limit < old {
      free.removeAll { $0 >= limit }
      var emptying: [Int] = []
      for index in limit..<old where places[index] == .free {
        places[index] = isTouched[index] ? .emptying : .retired
        if isTouched[index] { emptying.append(index) }
      }
      return .empty(emptying)
    }
    return .resume(unretire((old..<limit).filter { places[$0] == .retired }))
  }

  /// Makes retired buffers free, or hands them to those who wait.
  private mutating func unretire(_ indices: [Int]) -> [(waiter: Waiter, index: Int)] {
    for index in indices { places[index] = .free }
    // Buffers without memory are the last to be handed out.
    free.insert(contentsOf: indices.reversed(), at: 0)
    var resumed: [(waiter: Waiter, index: Int)] = []
    while !free.isEmpty, let waiter = waiters.removeFirst() {
      guard case .take(let index) = take() else { preconditionFailure("a free buffer can be taken") }
      resumed.append((waiter, index))
    }
    return resumed
  }
}
