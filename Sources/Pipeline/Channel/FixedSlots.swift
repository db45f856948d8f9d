/// Numbered places, allocated once, each empty or with an element that must not be copied.
@safe
struct FixedSlots<Element: ~Copyable>: ~Copyable {
  let count: Int
  private let storage: UnsafeMutablePointer<Element?>

  init(count: Int) {
    self.count = count
    unsafe storage = .allocate(capacity: count)
    for index in 0..<count { unsafe (storage + index).initialize(to: nil) }
  }

  deinit {
    unsafe storage.deinitialize(count: count)
    unsafe storage.deallocate()
  }

  /// Puts an element into an empty place.
  mutating func put(_ element: consuming Element, at index: Int) {
    precondition(index < count, "there is no place \(index)")
    let isEmpty = unsafe storage[index] == nil
    precondition(isEmpty, "the place \(index) is taken")
    unsafe storage[index] = consume element
  }

  /// Empties a place.
  mutating func take(at index: Int) -> Element? {
    precondition(index < count, "there is no place \(index)")
    // Not by `take()` in place: of that the compiler (Swift 6.3) makes invalid code under ThreadSanitizer.
    let element = unsafe (storage + index).move()
    unsafe (storage + index).initialize(to: nil)
    return element
  }

  func isEmpty(at index: Int) -> Bool {
    unsafe storage[index] == nil
  }

  /// The lowest place that is empty.
  var firstEmpty: Int? {
    (0..<count).first { isEmpty(at: $0) }
  }
}

// The storage is this value's alone, so it goes where its elements may go.
extension FixedSlots: @unchecked Sendable where Element: Sendable & ~Copyable {}
