internal import CSluiceLinux

/// What becomes of pages that are in swap.
public enum SwappedPages: Sendable {
  /// They are taken. The kernel reads them back into the memory of the process.
  case read
  /// They are left out, for the sake of the process' memory.
  case skip
}

/// Pages that a scan came across and that are not simply there.
public struct PageTally: Hashable, Sendable {
  /// Pages in swap.
  public internal(set) var swapped: UInt64 = 0
  /// Pages that were left out because they are in swap.
  public internal(set) var skippedSwapped: UInt64 = 0
  /// Pages that were left out because they were only read so far, and are zeros: they are all one page.
  public internal(set) var skippedZero: UInt64 = 0
  /// Pages that were left out because touching them is an error (MADV_GUARD_INSTALL). Linux tells since 6.15.
  public internal(set) var skippedGuard: UInt64 = 0

  /// Nothing so far.
  public init() {}
}

/// What a step of a scan finds: the runs that are taken, and how many pages are of which kind.
struct FoundPages {
  /// In address order; they neither overlap nor touch.
  private(set) var runs: [MemoryRun] = []
  /// Of all steps together.
  private(set) var tally = PageTally()
  private let pageSize: UInt64
  private let swapped: SwappedPages

  init(pageSize: UInt64, swapped: SwappedPages) {
    self.pageSize = pageSize
    self.swapped = swapped
  }

  /// What the page table says of some pages.
  enum Kind {
    case present
    case swapped
    case zero
    case guardRegion
  }

  mutating func reserve(runs count: Int) {
    runs.reserveCapacity(count)
  }

  mutating func removeRuns() {
    runs.removeAll(keepingCapacity: true)
  }

  /// Adds pages that are all of one kind.
  mutating func add(_ kind: Kind, from start: UInt64, to end: UInt64) {
    let count = (end - start) / pageSize
    switch kind {
    case .present: append(from: start, to: end)
    case .zero: tally.skippedZero += count
    case .guardRegion: tally.skippedGuard += count
    case .swapped:
      tally.swapped += count
      switch swapped {
      case .read: append(from: start, to: end)
      case .skip: tally.skippedSwapped += count
      }
    }
  }

  private mutating func append(from start: UInt64, to end: UInt64) {
    if let last = runs.indices.last, runs[last].address + runs[last].length == start {
      runs[last].length += end - start
    } else {
      runs.append(MemoryRun(address: start, length: end - start))
    }
  }
}
