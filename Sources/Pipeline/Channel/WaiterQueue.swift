/// Waiters, served in the order in which they came. A waiter that gives up can leave from the middle.
struct WaiterQueue<Waiter> {
  /// Identifies a waiter, so that the cancellation of its task can find it.
  typealias ID = UInt64

  private var waiters: [(id: ID, waiter: Waiter)] = []

  var isEmpty: Bool { waiters.isEmpty }

  mutating func append(_ waiter: Waiter, id: ID) {
    waiters.append((id, waiter))
  }

  // Linear time is enough: there are at most as many waiters as stages, which are a handful.
  mutating func removeFirst() -> Waiter? {
    waiters.isEmpty ? nil : waiters.removeFirst().waiter
  }

  mutating func remove(id: ID) -> Waiter? {
    guard let index = waiters.firstIndex(where: { $0.id == id }) else { return nil }
    return waiters.remove(at: index).waiter
  }

  mutating func removeAll() -> [Waiter] {
    defer { waiters.removeAll() }
    return waiters.map(\.waiter)
  }
}
