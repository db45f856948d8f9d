/// Those who wait for a turn, first come first served; one who gave up can leave from the middle.
struct WaiterQueue<Waiter> {
  /// Names a waiter, so that the cancellation of its task finds it again.
  typealias ID = UInt64

  private var waiters: [(id: ID, waiter: Waiter)] = []

  var isEmpty: Bool { waiters.isEmpty }

  mutating func append(_ waiter: Waiter, id: ID) {
    waiters.append((id, waiter))
  }

  // Linear, and right so: as many wait here as there are stages, which is a handful.
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
