/// Where in a core file the memory of a process is.
///
/// The file has room for what there is something of alone, in blocks: so reserved addresses cost nothing. A block that has
/// a place keeps it, and pages that are written again take the place of the old ones.
struct FileExtents: Sendable {
  /// Neighbouring blocks that are neighbours in the file, too.
  struct Extent: Hashable, Sendable {
    let address: UInt64
    fileprivate(set) var byteCount: UInt64
    let offset: UInt64

    fileprivate var end: UInt64 { address + byteCount }
  }

  /// The smallest part of the memory that has a place of its own: small beside what a process has, and so large that there
  /// are few of them.
  static let blockBytes: UInt64 = 1 << 20

  private let blockBytes: UInt64
  /// In the order of their addresses.
  private(set) var extents: [Extent] = []
  /// The first byte of the file behind them all.
  private(set) var end: UInt64

  /// - Parameters:
  ///   - start: where the first one may be in the file.
  ///   - blockBytes: the smallest part that has a place; that of a page where what is not in the file must not look as if it
  ///     were.
  init(from start: UInt64, blockBytes: UInt64 = blockBytes) {
    end = start
    self.blockBytes = blockBytes
  }

  /// Gives a range a place, as far as it has none, and the blocks that it is in with it.
  mutating func place(_ range: Range<UInt64>) {
    let last = (range.upperBound + blockBytes - 1) / blockBytes * blockBytes
    reserve(range.lowerBound / blockBytes * blockBytes..<last)
  }

  /// Gives a range a place, as far as it has none: in one piece, where it has none at all.
  mutating func reserve(_ range: Range<UInt64>) {
    var position = range.lowerBound
    while position < range.upperBound {
      let index = index(of: position)
      if index < extents.count, extents[index].address <= position {
        position = extents[index].end
        continue
      }
      let next = index < extents.count ? min(extents[index].address, range.upperBound) : range.upperBound
      add(position..<next, at: index)
      position = next
    }
  }

  /// Calls `body` for each part of a range: with its place in the file, or nil for parts that have none.
  ///
  /// - Throws: what `body` throws.
  func forEachPart<Failure: Error>(
    of range: Range<UInt64>, _ body: (Range<UInt64>, UInt64?) throws(Failure) -> Void
  ) throws(Failure) {
    var position = range.lowerBound
    var index = index(of: position)
    while position < range.upperBound {
      guard index < extents.count, extents[index].address < range.upperBound else {
        return try body(position..<range.upperBound, nil)
      }
      let extent = extents[index]
      if extent.address > position { try body(position..<extent.address, nil) }
      let first = max(position, extent.address)
      let end = min(extent.end, range.upperBound)
      try body(first..<end, extent.offset + (first - extent.address))
      position = end
      index += 1
    }
  }

  /// The first extent that ends behind an address.
  private func index(of address: UInt64) -> Int {
    extents.firstIndex(endingBehind: address) { $0.end }
  }

  private mutating func add(_ range: Range<UInt64>, at index: Int) {
    let byteCount = range.upperBound - range.lowerBound
    let offset = end
    end += byteCount
    if index > 0, extents[index - 1].end == range.lowerBound,
      extents[index - 1].offset + extents[index - 1].byteCount == offset
    {
      extents[index - 1].byteCount += byteCount
    } else {
      extents.insert(Extent(address: range.lowerBound, byteCount: byteCount, offset: offset), at: index)
    }
  }
}
