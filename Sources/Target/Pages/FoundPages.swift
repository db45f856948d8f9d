public import CSluiceLinux

/// What becomes of pages that are in swap.
public enum SwappedPages: Sendable {
  /// They are taken. The kernel reads them back into the memory of the process.
  case read
  /// They are left out, for the sake of the process' memory.
  case skip
}

/// Pages that a scan has found.
public struct ScannedRun: Sendable {
  /// Where they are.
  public var run: MemoryRun
  /// Whether they are copied whatever else is known of them: they were written, or they are the huge zero page,
  /// which replaces other content without a trace of it in the dirty bits.
  public var mustCopy: Bool
  /// Whether the next round is to copy them as well: a device may still be writing them, which nothing tells.
  public var isUnsettled = false
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

  /// Adds what another scan came across.
  public static func += (total: inout PageTally, other: PageTally) {
    total.swapped += other.swapped
    total.skippedSwapped += other.skippedSwapped
    total.skippedZero += other.skippedZero
    total.skippedGuard += other.skippedGuard
  }
}

/// What a step of a scan finds: the runs that are taken, and how many pages are of which kind.
struct FoundPages {
  /// In address order; those that touch differ in whether they must be copied.
  private(set) var runs: [ScannedRun] = []
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
    /// The huge zero page.
    case hugeZero
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
  ///
  /// - Parameters:
  ///   - mustCopy: they are copied whatever else is known of them.
  ///   - isUnsettled: the next round is to copy them as well.
  mutating func add(
    _ kind: Kind, from start: UInt64, to end: UInt64, mustCopy: Bool = false, isUnsettled: Bool = false
  ) {
    let count = (end - start) / pageSize
    let found = ScannedRun(
      run: MemoryRun(address: start, length: end - start), mustCopy: mustCopy || kind == .hugeZero,
      isUnsettled: isUnsettled)
    switch kind {
    case .present, .hugeZero: append(found)
    case .zero: tally.skippedZero += count
    case .guardRegion: tally.skippedGuard += count
    case .swapped:
      tally.swapped += count
      switch swapped {
      case .read: append(found)
      case .skip: tally.skippedSwapped += count
      }
    }
  }

  private mutating func append(_ found: ScannedRun) {
    if let last = runs.indices.last, runs[last].run.address + runs[last].run.length == found.run.address,
      runs[last].mustCopy == found.mustCopy, runs[last].isUnsettled == found.isUnsettled
    {
      runs[last].run.length += found.run.length
    } else {
      runs.append(found)
    }
  }
}
