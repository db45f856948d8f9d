/// A first-in first-out queue of at most `capacity` elements, allocated once, that can hold elements
/// which must not be copied.
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

// The storage is this queue's alone, so it goes where its elements may go.
extension FixedQueue: @unchecked Sendable where Element: Sendable & ~Copyable {}
