internal import CSluiceLinux

/// What a step of a scan finds: the runs that are taken, and how many pages are of which kind.
struct FoundPages {
  /// In address order; those that touch differ in whether they must be copied.
  private(set) var runs: [ScannedRun] = []
  /// Of all steps together.
  private(set) var tally = PageTally()
  private let pageSize: UInt64
  let swapped: SwappedPages

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

  mutating func exchangeRuns(_ others: inout [ScannedRun]) { swap(&runs, &others) }

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
