/// The memory of a process that cannot be registered for write protection, in memory of a fixed size: where it
/// is in many places, the memory between them counts as well.
struct RefusedMemory: Sendable {
  private(set) var pages: DirtySet
  private var end: UInt64 = 0

  init() {
    pages = DirtySet(byteCount: 0, processCount: 1)
    pages.beginProcess()
  }

  /// Whether all memory could be registered.
  var isEmpty: Bool { pages.runCount == 0 }

  /// Adds a range that ends above all that there are.
  mutating func add(_ range: Range<UInt64>) {
    if isEmpty {
      // As a rule there is nothing.
      pages = DirtySet(byteCount: DirtySet.smallestBytes, processCount: 1)
      pages.beginProcess()
    }
    pages.add(from: max(range.lowerBound, end), to: range.upperBound)
    end = max(end, range.upperBound)
  }
}
