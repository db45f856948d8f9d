internal import CSluiceLinux

/// Cuts the areas of a process into parts that are watched, and those that are not: because they cannot be, are new, or
/// are watched by somebody else. What a scan takes from another's watch, the other is not told any more.
public struct RegisteredRanges: ~Copyable {
  /// A part of an area.
  public struct Part: Hashable, Sendable {
    /// The first address.
    public var start: UInt64
    /// The address after the last.
    public var end: UInt64
    /// Whether it is watched.
    public var isWatched: Bool
  }

  private let scan: UnregisteredScan
  private var refused: DirtySet.Cursor
  /// Of the area that was cut last.
  public private(set) var parts: [Part] = []

  /// - Parameters:
  ///   - process: whose areas.
  ///   - refused: what the last look at its mappings found that cannot be watched (`WriteProtection.registerNew`).
  public init(of process: TargetProcess, refused: borrowing RefusedMemory) {
    scan = UnregisteredScan(of: process)
    self.refused = refused.pages.cursor(ofTask: 0)
  }

  /// Cuts an area into `parts`. It lies above those that were cut before.
  ///
  /// - Parameter starts: where its mappings begin.
  /// - Throws: `TargetError` when the process' memory is gone.
  public mutating func cut(_ area: MappedArea, starts: [UInt64]) throws(TargetError) {
    parts.removeAll(keepingCapacity: true)
    let areOfFiles = area.pages == .copiedFromFile
    var cursor = refused
    let isRefused = Self.passes(&cursor, area.start..<area.end)
    let hasUnwatched = try scan.firstPage(in: area.start..<area.end, areOfFiles: areOfFiles) != nil
    guard isRefused || hasUnwatched else {
      parts.append(Part(start: area.start, end: area.end, isWatched: true))
      return
    }
    for index in starts.indices {
      let range = starts[index]..<(index + 1 < starts.count ? starts[index + 1] : area.end)
      var isUnwatched = Self.passes(&refused, range)
      if !isUnwatched { isUnwatched = try scan.firstPage(in: range, areOfFiles: areOfFiles) != nil }
      add(Part(start: range.lowerBound, end: range.upperBound, isWatched: !isUnwatched))
    }
  }

  /// Whether something in a range is in the set.
  private static func passes(_ cursor: inout DirtySet.Cursor, _ range: Range<UInt64>) -> Bool {
    guard !range.isEmpty else { return false }
    let (isFirst, end) = cursor.next(in: range)
    return isFirst || end < range.upperBound
  }

  private mutating func add(_ part: Part) {
    if let last = parts.indices.last, parts[last].isWatched == part.isWatched {
      parts[last].end = part.end
    } else {
      parts.append(part)
    }
  }
}
