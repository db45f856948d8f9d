internal import SluiceImages

/// The pages that images have, from low addresses to high ones.
struct ImagePages {
  private let pagemap: ChainPagemap?
  private let pageSize: UInt64
  /// What is left of the entry that was come to last.
  private var current: Range<UInt64>?
  private var isAtEnd = false

  init(pagemap: ChainPagemap?, pageSize: UInt64) {
    self.pagemap = pagemap
    self.pageSize = pageSize
  }

  /// Passes all pages below an address.
  ///
  /// - Returns: how many that were.
  mutating func skip(to address: UInt64) throws(SluiceError) -> UInt64 {
    var skipped: UInt64 = 0
    while let range = try entry(), range.lowerBound < address {
      let end = min(range.upperBound, address)
      skipped += (end - range.lowerBound) / pageSize
      current = end < range.upperBound ? end..<range.upperBound : nil
    }
    return skipped
  }

  /// Whether the first pages of a range are there, and up to where that holds. They are passed.
  mutating func next(in range: Range<UInt64>) throws(SluiceError) -> (isThere: Bool, end: UInt64) {
    guard let entry = try entry(), entry.lowerBound < range.upperBound else {
      return (false, range.upperBound)
    }
    guard entry.lowerBound <= range.lowerBound else { return (false, entry.lowerBound) }
    let end = min(entry.upperBound, range.upperBound)
    current = end < entry.upperBound ? end..<entry.upperBound : nil
    return (true, end)
  }

  /// Reads pages that are there.
  func read(_ range: Range<UInt64>, into bytes: inout [UInt8]) throws(SluiceError) {
    var position = range.lowerBound
    while position < range.upperBound {
      do throws(ImagesError) {
        guard let pagemap else { return }
        let place = try pagemap.place(of: position..<range.upperBound)
        let part = Int(position - range.lowerBound)..<Int(place.end - range.lowerBound)
        try pagemap.read(place, into: &bytes, at: part)
        position = place.end
      } catch {
        throw SluiceError(error)
      }
    }
  }

  private mutating func entry() throws(SluiceError) -> Range<UInt64>? {
    if let current { return current }
    guard !isAtEnd, let pagemap else { return nil }
    guard let run = try onImages({ () throws(ImagesError) in try pagemap.next() }) else {
      isAtEnd = true
      return nil
    }
    current = run.address..<run.address + run.pageCount * pageSize
    return current
  }
}
