internal import CSluiceLinux

/// What of the memory of a process is copied in place of what its page tables tell: as for a core, which has memory in it
/// that no page table has, and lacks some that one has.
struct PageSelection: Hashable, Sendable {
  /// Ranges of which nothing is copied that page tables tell of, in address order.
  private(set) var omitted: [Range<UInt64>] = []
  /// Ranges that are copied as a whole, in address order, whatever page tables tell: what of them cannot be read is passed
  /// over.
  var whole: [Range<UInt64>] = []

  /// Leaves a range out, which lies behind those before.
  mutating func omit(_ range: Range<UInt64>) {
    if let last = omitted.indices.last, omitted[last].upperBound == range.lowerBound {
      omitted[last] = omitted[last].lowerBound..<range.upperBound
    } else {
      omitted.append(range)
    }
  }

  /// The bytes that are copied as a whole.
  var wholeBytes: UInt64 { whole.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) } }

  /// Goes through a selection from low addresses to high ones.
  struct Cursor: Sendable {
    private let selection: PageSelection
    private var omittedIndex = 0
    private var wholeIndex = 0
    private var passedIndex = 0

    init(_ selection: PageSelection) { self.selection = selection }

    /// The next range that is copied as a whole and begins below an address; nil where there is none.
    mutating func nextWhole(below address: UInt64) -> Range<UInt64>? {
      guard wholeIndex < selection.whole.count, selection.whole[wholeIndex].lowerBound < address else {
        return nil
      }
      defer { wholeIndex += 1 }
      return selection.whole[wholeIndex]
    }

    /// Whether the start of a range is copied because page tables tell of it, and up to where that holds.
    ///
    /// - Parameter range: not empty; begins no lower than the end of the answer before.
    mutating func next(in range: Range<UInt64>) -> (isTaken: Bool, end: UInt64) {
      let omitted = Self.next(in: range, of: selection.omitted, &omittedIndex)
      let whole = Self.next(in: range, of: selection.whole, &passedIndex)
      let isTaken = !omitted.isInside && !whole.isInside
      if isTaken { return (true, min(omitted.end, whole.end)) }
      return (false, max(omitted.isInside ? omitted.end : 0, whole.isInside ? whole.end : 0))
    }

    private static func next(
      in range: Range<UInt64>, of ranges: [Range<UInt64>], _ index: inout Int
    ) -> (isInside: Bool, end: UInt64) {
      while index < ranges.count, ranges[index].upperBound <= range.lowerBound { index += 1 }
      guard index < ranges.count, ranges[index].lowerBound < range.upperBound else {
        return (false, range.upperBound)
      }
      let found = ranges[index]
      guard found.lowerBound <= range.lowerBound else { return (false, found.lowerBound) }
      return (true, min(found.upperBound, range.upperBound))
    }
  }
}
