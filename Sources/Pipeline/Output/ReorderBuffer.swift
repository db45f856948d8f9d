/// Puts into order what several readers deliver out of it.
///
/// It holds no more than the ring has buffers, since each element holds one: so an element that is early finds
/// its place, unless one before it was lost with a reader that failed.
public struct ReorderBuffer<Element: ~Copyable>: ~Copyable {
  private var slots: FixedSlots<Element>
  private var next: UInt64 = 0

  /// How many elements have left, in order.
  public var removedCount: UInt64 { next }

  /// - Parameter capacity: how far ahead of the oldest missing element another can be.
  public init(capacity: Int) {
    slots = FixedSlots(count: capacity)
  }

  /// Whether an element with this place in the order can be taken now.
  public func hasRoom(for sequence: UInt64) -> Bool {
    sequence >= next && sequence - next < UInt64(slots.count)
  }

  /// Takes an element with its place in the order, counted from 0; there must be room for it.
  public mutating func insert(_ element: consuming Element, sequence: UInt64) {
    precondition(
      hasRoom(for: sequence), "element \(sequence) is too far from \(next), which is missing")
    slots.put(element, at: Int(sequence % UInt64(slots.count)))
  }

  /// The next element in order, if it has come.
  public mutating func removeNext() -> Element? {
    guard let element = slots.take(at: Int(next % UInt64(slots.count))) else { return nil }
    next += 1
    return element
  }
}
