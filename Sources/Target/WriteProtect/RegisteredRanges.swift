internal import CSluiceLinux

/// Cuts the areas of a process into ranges that are registered for write protection, and ranges that are not: because
/// they cannot be, are new, or somebody else has registered them. A scan that protects pages of another's registration
/// takes from the other the news of what was written.
struct RegisteredRanges: ~Copyable {
  /// A range of an area.
  struct Entry: Hashable, Sendable {
    /// The addresses.
    var range: Range<UInt64>
    /// Whether they are registered.
    var isRegistered: Bool
  }

  private let scan: UnregisteredScan
  private var refused: DirtySet.Cursor
  /// Of the area that was cut last.
  private(set) var entries: [Entry] = []

  /// - Parameters:
  ///   - process: whose areas.
  ///   - refused: the memory that the last look at its mappings found and that cannot be registered (`WriteProtection.registerNew`).
  init(of process: TargetProcess, refused: borrowing RefusedMemory) {
    scan = UnregisteredScan(of: process)
    self.refused = refused.pages.cursor(ofProcess: 0)
  }

  /// Cuts an area into `entries`. It lies above those that were cut before.
  ///
  /// - Parameter starts: where its mappings begin.
  /// - Throws: `TargetError` when the process' memory is gone.
  mutating func cut(_ area: MappedArea, starts: [UInt64]) throws(TargetError) {
    entries.removeAll(keepingCapacity: true)
    let areOfFiles = area.pages == .copiedFromFile
    var cursor = refused
    let isRefused = Self.passes(&cursor, area.start..<area.end)
    let hasUnregistered = try scan.firstPage(in: area.start..<area.end, areOfFiles: areOfFiles) != nil
    guard isRefused || hasUnregistered else {
      entries.append(Entry(range: area.start..<area.end, isRegistered: true))
      return
    }
    for index in starts.indices {
      let range = starts[index]..<(index + 1 < starts.count ? starts[index + 1] : area.end)
      var isUnregistered = Self.passes(&refused, range)
      if !isUnregistered { isUnregistered = try scan.firstPage(in: range, areOfFiles: areOfFiles) != nil }
      add(Entry(range: range, isRegistered: !isUnregistered))
    }
  }

  /// Whether something in a range is in the set.
  private static func passes(_ cursor: inout DirtySet.Cursor, _ range: Range<UInt64>) -> Bool {
    guard !range.isEmpty else { return false }
    let (isFirst, end) = cursor.next(in: range)
    return isFirst || end < range.upperBound
  }

  private mutating func add(_ entry: Entry) {
    if let last = entries.indices.last, entries[last].isRegistered == entry.isRegistered {
      entries[last].range = entries[last].range.lowerBound..<entry.range.upperBound
    } else {
      entries.append(entry)
    }
  }
}
