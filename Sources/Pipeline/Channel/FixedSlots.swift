/// Numbered places, each empty or with an element, which may be `~Copyable`. Their memory is allocated
/// once.
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
    // Not by `take()` in place, for which the compiler (Swift 6.3) makes invalid code under ThreadSanitizer.
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

// Only this value refers to the storage, so the value may be sent wherever its elements may.
extension FixedSlots: @unchecked Sendable where Element: Sendable & ~Copyable {}
