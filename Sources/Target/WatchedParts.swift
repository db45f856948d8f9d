internal import CSluiceLinux

/// Cuts the areas of a process into parts that are watched, and those that cannot be, and has new mappings watched.
///
/// Whether a mapping is watched, nothing tells but a scan: it is asked for pages in mappings that are not. So one that
/// was moved, replaced or mapped anew since the last round is found, whatever its address; and one without pages is
/// left alone until it has some.
public struct WatchedParts: ~Copyable {
  /// More mappings are not made to be watched at once: the process cannot map memory meanwhile (3 µs for each,
  /// measured).
  public static let mostMappings = 64

  /// A part of an area.
  public struct Part: Hashable, Sendable {
    /// The first address.
    public var start: UInt64
    /// The address after the last.
    public var end: UInt64
    /// Whether it was not watched before: all of its pages may have been written.
    public var isNew: Bool
    /// Whether it is watched now.
    public var isWatched: Bool
  }

  private let protection: WriteProtection
  /// Of the area that was cut last.
  public private(set) var parts: [Part] = []

  /// - Parameter protection: that of the process.
  public init(of protection: WriteProtection) {
    self.protection = protection
    parts.reserveCapacity(Self.mostMappings)
  }

  /// Cuts an area into `parts`, and has those watched that can be.
  ///
  /// - Parameters:
  ///   - starts: where its mappings begin.
  ///   - watches: whether new ones are to be watched.
  /// - Throws: `TargetError` when the process' memory is gone.
  public mutating func cut(
    _ area: MappedArea, starts: [UInt64], watches: Bool = true
  ) throws(TargetError) {
    parts.removeAll(keepingCapacity: true)
    guard try hasUnwatchedPages(area.start..<area.end, area.pages) else {
      parts.append(Part(start: area.start, end: area.end, isNew: false, isWatched: true))
      return
    }
    for index in starts.indices {
      let end = index + 1 < starts.count ? starts[index + 1] : area.end
      var part = Part(start: starts[index], end: end, isNew: false, isWatched: true)
      if try hasUnwatchedPages(part.start..<part.end, area.pages) {
        part.isNew = true
        part.isWatched = watches && protection.watch(from: part.start, to: part.end)
      }
      add(part)
    }
  }

  private mutating func add(_ part: Part) {
    if let last = parts.indices.last, parts[last].isNew == part.isNew, parts[last].isWatched == part.isWatched
    {
      parts[last].end = part.end
    } else {
      parts.append(part)
    }
  }

  private func hasUnwatchedPages(
    _ range: Range<UInt64>, _ pages: MappedArea.Pages
  ) throws(TargetError) -> Bool {
    var scan = sluice_scan()
    scan.start = range.lowerBound
    scan.end = range.upperBound
    // One is enough to know. Of mappings that are watched, the kernel does not look at a single page.
    scan.max_pages = 1
    var unwanted = UInt64(SLUICE_PAGE_WPALLOWED.rawValue)
    if pages == .copiedFromFile { unwanted |= UInt64(SLUICE_PAGE_FILE.rawValue) }
    scan.category_mask = unwanted
    scan.category_inverted = unwanted
    scan.category_anyof_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue | SLUICE_PAGE_SWAPPED.rawValue)
    scan.return_mask = UInt64(SLUICE_PAGE_PRESENT.rawValue)
    var region = PageRegion()
    let found = unsafe sluice_pagemap_scan(protection.process.pagemap.descriptor, &scan, &region, 1)
    guard found >= 0 else {
      throw protection.process.failure(of: "looking for new mappings", errno: SystemErrno(returned: found))
    }
    return found > 0
  }
}
