/// Tells which pages a pagemap has, in one pass from low addresses to high ones and in memory of a fixed size.
///
/// A page that an entry names is had, whether its bytes are in this directory or further up the chain.
public struct PagemapCoverage: ~Copyable {
  private var pagemap: PagemapImageReader
  private let pageSize: UInt64
  private var current: Range<UInt64>?
  private var lastAsked: UInt64 = 0

  private init(_ pagemap: consuming PagemapImageReader, pageSize: UInt64) {
    self.pagemap = pagemap
    self.pageSize = pageSize
  }

  /// - Returns: nil when the directory has no pagemap of that pid.
  /// - Throws: `ImagesError` when the file cannot be read or is no pagemap.
  public static func open(
    pid: Int32, in directory: borrowing ImagesDirectory
  ) throws(ImagesError) -> PagemapCoverage? {
    try open(pagemap: ImageFormat.pagemapName(pid: pid), in: directory)
  }

  /// The same for a pagemap by its name.
  ///
  /// - Throws: `ImagesError` when the file cannot be read or is no pagemap.
  static func open(
    pagemap name: String, in directory: borrowing ImagesDirectory
  ) throws(ImagesError) -> PagemapCoverage? {
    guard let pagemap = try PagemapImageReader(name: name, in: directory) else { return nil }
    var coverage = PagemapCoverage(pagemap, pageSize: directory.pageSize)
    try coverage.advance()
    return coverage
  }

  /// What is to be said of the start of a range: whether the pagemap has it, and up to where that holds.
  ///
  /// - Parameter range: not empty; begins no lower than the end of the answer before.
  /// - Throws: `ImagesError` when the file cannot be read, or its entries are not in order.
  public mutating func next(in range: Range<UInt64>) throws(ImagesError) -> (isCovered: Bool, end: UInt64) {
    precondition(range.lowerBound >= lastAsked && !range.isEmpty, "a pagemap is read upwards, once")
    while let entry = current, entry.upperBound <= range.lowerBound { try advance() }
    let end: UInt64
    let isCovered: Bool
    if let entry = current, entry.lowerBound < range.upperBound {
      isCovered = entry.lowerBound <= range.lowerBound
      end = isCovered ? min(entry.upperBound, range.upperBound) : entry.lowerBound
    } else {
      (isCovered, end) = (false, range.upperBound)
    }
    lastAsked = end
    return (isCovered, end)
  }

  private mutating func advance() throws(ImagesError) {
    current = nil
    while let run = try pagemap.next() {
      // Entries of pages that were left to be restored lazily say nothing.
      guard !run.flags.isDisjoint(with: [.present, .parent]) else { continue }
      current = run.address..<run.address + run.pageCount * pageSize
      return
    }
  }
}

/// The pages that a pagemap has, known beforehand: neighbouring entries are one range, so there are few as a rule.
public struct CoveredRanges: Sendable {
  /// More than these are not kept.
  public static let most = 4096

  private var ranges: [Range<UInt64>] = []
  private var index = 0

  /// Ranges that are known otherwise, in address order; they do not overlap.
  public init(_ ranges: [Range<UInt64>]) {
    self.ranges = ranges
  }

  /// Reads a pagemap to its end.
  ///
  /// - Returns: nil where it has more ranges than are kept.
  /// - Throws: `ImagesError` when the file cannot be read, or its entries are not in order.
  public init?(_ coverage: consuming PagemapCoverage) throws(ImagesError) {
    var position: UInt64 = 0
    while position < UInt64.max {
      let part = try coverage.next(in: position..<UInt64.max)
      if part.isCovered {
        if let last = ranges.indices.last, ranges[last].upperBound == position {
          ranges[last] = ranges[last].lowerBound..<part.end
        } else {
          guard ranges.count < Self.most else { return nil }
          ranges.append(position..<part.end)
        }
      }
      position = part.end
    }
  }

  /// What is to be said of the start of a range: whether the pagemap has it, and up to where that holds.
  ///
  /// - Parameter range: not empty; begins no lower than the end of the answer before.
  public mutating func next(in range: Range<UInt64>) -> (isCovered: Bool, end: UInt64) {
    while index < ranges.count, ranges[index].upperBound <= range.lowerBound { index += 1 }
    guard index < ranges.count, ranges[index].lowerBound < range.upperBound else {
      return (false, range.upperBound)
    }
    let found = ranges[index]
    guard found.lowerBound <= range.lowerBound else { return (false, found.lowerBound) }
    return (true, min(found.upperBound, range.upperBound))
  }
}
