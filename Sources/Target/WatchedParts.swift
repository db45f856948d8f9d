internal import CSluiceLinux

/// Cuts the areas of a process into parts that are watched, and those that are not: because they cannot be, or are new.
public struct WatchedParts: ~Copyable {
  /// A part of an area.
  public struct Part: Hashable, Sendable {
    /// The first address.
    public var start: UInt64
    /// The address after the last.
    public var end: UInt64
    /// Whether it is watched.
    public var isWatched: Bool
  }

  private let scan: UnwatchedScan
  /// Of the area that was cut last.
  public private(set) var parts: [Part] = []

  /// - Parameter process: whose areas.
  public init(of process: TargetProcess) {
    scan = UnwatchedScan(of: process)
  }

  /// Cuts an area into `parts`.
  ///
  /// - Parameter starts: where its mappings begin.
  /// - Throws: `TargetError` when the process' memory is gone.
  public mutating func cut(_ area: MappedArea, starts: [UInt64]) throws(TargetError) {
    parts.removeAll(keepingCapacity: true)
    let areOfFiles = area.pages == .copiedFromFile
    guard try scan.firstPage(in: area.start..<area.end, areOfFiles: areOfFiles) != nil else {
      parts.append(Part(start: area.start, end: area.end, isWatched: true))
      return
    }
    for index in starts.indices {
      let end = index + 1 < starts.count ? starts[index + 1] : area.end
      let isUnwatched = try scan.firstPage(in: starts[index]..<end, areOfFiles: areOfFiles) != nil
      add(Part(start: starts[index], end: end, isWatched: !isUnwatched))
    }
  }

  private mutating func add(_ part: Part) {
    if let last = parts.indices.last, parts[last].isWatched == part.isWatched {
      parts[last].end = part.end
    } else {
      parts.append(part)
    }
  }
}
