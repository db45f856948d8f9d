/// A first-in first-out queue of at most `capacity` elements, which may be `~Copyable`. Its memory is
/// allocated once.
@safe
struct FixedQueue<Element: ~Copyable>: ~Copyable {
  let capacity: Int
  private(set) var count = 0
  private var head = 0
  private let storage: UnsafeMutablePointer<Element>

  init(capacity: Int) {
    precondition(capacity > 0, "a queue without room can hold nothing")
    self.capacity = capacity
    unsafe storage = .allocate(capacity: capacity)
  }

  deinit {
    for offset in 0..<count {
      unsafe (storage + (head + offset) % capacity).deinitialize(count: 1)
    }
    unsafe storage.deallocate()
  }

  mutating func append(_ element: consuming Element) {
    precondition(count < capacity, "the queue is full")
    unsafe (storage + (head + count) % capacity).initialize(to: element)
    count += 1
  }

  mutating func removeFirst() -> Element? {
    guard count > 0 else { return nil }
    let element = unsafe (storage + head).move()
    head = (head + 1) % capacity
    count -= 1
    return element
  }
}

// Only this queue refers to the storage, so the queue may be sent wherever its elements may.
extension FixedQueue: @unchecked Sendable where Element: Sendable & ~Copyable {}
