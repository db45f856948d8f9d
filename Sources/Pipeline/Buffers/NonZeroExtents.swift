internal import CSluiceLinux

/// What of a buffer has to be written: all of it but its pages of zeros, which become holes.
public struct NonZeroExtents: Hashable, Sendable {
  /// In order; they neither overlap nor touch.
  public private(set) var parts: [WriteQueue.Part] = []
  /// Pages that are all zeros, whether or not they became holes.
  public private(set) var zeroPages = 0

  /// The bytes of all parts together.
  public var byteCount: Int { parts.reduce(0) { $0 + $1.count } }

  /// More parts than this cost more in writes than their holes save: small holes are then filled.
  static let mostParts = 16

  /// Nothing is to be written.
  public init() {}

  /// Looks at the first `byteCount` bytes of a buffer, which were just read and are still in the cache.
  public init(of buffer: borrowing PageBuffer, pageSize: Int) {
    let pageCount = buffer.byteCount / pageSize
    guard pageCount > 0 else { return }
    let bytes = unsafe buffer.bytes
    self = unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: (pageCount + 63) / 64) { bits in
      unsafe bits.initialize(repeating: 0)
      let zeroPages = unsafe sluice_find_zero_pages(bytes.baseAddress, pageCount, pageSize, bits.baseAddress)
      return NonZeroExtents(pageCount: pageCount, pageSize: pageSize, zeroPages: zeroPages) { page in
        unsafe bits[page / 64] >> UInt64(page % 64) & 1 == 1
      }
    }
  }

  init(pageCount: Int, pageSize: Int, zeroPages: Int, isZero: (Int) -> Bool) {
    self.zeroPages = zeroPages
    guard zeroPages > 0 else {
      parts = [WriteQueue.Part(position: 0, count: pageCount * pageSize)]
      return
    }
    var smallestHole = 1
    repeat {
      parts = Self.parts(pageCount: pageCount, pageSize: pageSize, smallestHole: smallestHole, isZero: isZero)
      smallestHole *= 2
    } while parts.count > Self.mostParts
  }

  private static func parts(
    pageCount: Int, pageSize: Int, smallestHole: Int, isZero: (Int) -> Bool
  ) -> [WriteQueue.Part] {
    var parts: [WriteQueue.Part] = []
    var page = 0
    while page < pageCount {
      let first = page
      let zero = isZero(first)
      while page < pageCount, isZero(page) == zero { page += 1 }
      let pages = page - first
      if zero && pages >= smallestHole { continue }
      if let last = parts.indices.last, parts[last].position + parts[last].count == first * pageSize {
        parts[last].count += pages * pageSize
      } else {
        parts.append(WriteQueue.Part(position: first * pageSize, count: pages * pageSize))
      }
    }
    return parts
  }
}
