import CSluiceLinux
import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite(.timeLimit(.minutes(15))) struct NonZeroExtentsTests {
  private static let pageSize = 4096

  private static func parts(_ isZero: [Bool]) -> NonZeroExtents {
    NonZeroExtents(pageCount: isZero.count, pageSize: pageSize, zeroPages: isZero.count { $0 }) { isZero[$0] }
  }

  /// Says what is wrong with the parts of such pages; nil for nothing.
  private static func fault(of data: NonZeroExtents, _ isZero: [Bool]) -> String? {
    if data.zeroPages != isZero.count(where: { $0 }) { return "zero pages" }
    if data.parts.count > 16 { return "too many parts" }
    var covered = [Bool](repeating: false, count: isZero.count)
    var end = -1
    for part in data.parts {
      if part.count <= 0 || part.position % pageSize != 0 || part.count % pageSize != 0 {
        return "not whole pages"
      }
      if part.position <= end { return "not in order, or they touch" }
      end = part.position + part.count
      if end > isZero.count * pageSize { return "beyond the end" }
      for page in part.position / pageSize..<end / pageSize { covered[page] = true }
    }
    if data.byteCount != pageSize * covered.count(where: { $0 }) { return "bytes" }
    for page in isZero.indices where !isZero[page] && !covered[page] { return "page \(page) is lost" }
    // No more is filled than must be: a part ends in data, but where all holes of a size were filled.
    let smallestHole =
      holes(isZero).filter { hole in hole.allSatisfy { !covered[$0] } }.map(\.count).min() ?? .max
    for hole in holes(isZero) where hole.allSatisfy({ covered[$0] }) && hole.count >= smallestHole {
      return "a hole of \(hole.count) is filled and one of \(smallestHole) is not"
    }
    let mustFill = partsWithAllHoles(isZero) > 16
    if !mustFill && holes(isZero).contains(where: { $0.contains { covered[$0] } }) {
      return "a hole is filled"
    }
    return nil
  }

  private static func holes(_ isZero: [Bool]) -> [Range<Int>] {
    var holes: [Range<Int>] = []
    for page in isZero.indices where isZero[page] {
      if let last = holes.last, last.upperBound == page {
        holes[holes.count - 1] = last.lowerBound..<page + 1
      } else {
        holes.append(page..<page + 1)
      }
    }
    return holes
  }

  private static func partsWithAllHoles(_ isZero: [Bool]) -> Int {
    isZero.indices.count { !isZero[$0] && ($0 == 0 || isZero[$0 - 1]) }
  }

  @Test func `every pattern of up to twelve pages`() {
    for count in 1...12 {
      for bits in 0..<1 << count {
        let isZero = (0..<count).map { bits >> $0 & 1 == 1 }
        if let fault = Self.fault(of: Self.parts(isZero), isZero) {
          Issue.record("\(fault): \(isZero)")
        }
      }
    }
  }

  @Test(arguments: 0..<20) func `random patterns of a chunk`(seed: UInt64) {
    var random = SplitMix(seed: seed)
    for _ in 0..<100 {
      let count = Int.random(in: 1...256, using: &random)
      // From a page here and there to long runs.
      let change = Int.random(in: 1...64, using: &random)
      var zero = Bool.random(using: &random)
      let isZero = (0..<count).map { _ in
        if Int.random(in: 0..<change, using: &random) == 0 { zero.toggle() }
        return zero
      }
      if let fault = Self.fault(of: Self.parts(isZero), isZero) {
        Issue.record("\(fault), seed \(seed): \(isZero)")
      }
    }
  }

  @Test func `sixteen parts are not too many, seventeen are`() {
    func alternating(_ parts: Int) -> [Bool] { (0..<2 * parts - 1).map { $0 % 2 == 1 } }
    #expect(Self.parts(alternating(16)).parts.count == 16)
    #expect(Self.parts(alternating(17)).parts.count == 1)
  }

  @Test func `small holes are filled before large ones`() {
    // Twenty holes of a page, and one of eight.
    let isZero =
      (0..<40).map { $0 % 2 == 1 } + [Bool](repeating: true, count: 8) + [false, true, false]
    let data = Self.parts(isZero)
    #expect(data.parts.count == 2)
    #expect(data.zeroPages == 29)
  }

  @Test func `a chunk of zeros has no parts`() {
    let data = Self.parts([Bool](repeating: true, count: 256))
    #expect(data.parts.isEmpty)
    #expect(data.zeroPages == 256)
  }

  /// With real bytes: one that is not zero is found wherever it is in the page.
  @Test func `finds the pages of zeros of a buffer`() async throws {
    let (pageSize, pages) = (Int(sluice_page_size()), 70)
    let ring = try BufferRing(
      layout: BufferLayout(count: 1, chunkBytes: pages * pageSize, pageSize: pageSize))
    var random = SplitMix(seed: 1)
    for _ in 0..<200 {
      guard var buffer = await ring.take() else { preconditionFailure("this test does not cancel") }
      let used = Int.random(in: 0...pages, using: &random)
      _ = buffer.append(MemoryRun(address: 0, length: UInt64(used * pageSize)))
      unsafe buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0)
      var isZero = [Bool](repeating: true, count: used)
      for page in 0..<used where Bool.random(using: &random) {
        isZero[page] = false
        unsafe buffer.bytes[page * pageSize + Int.random(in: 0..<pageSize, using: &random)] = 1
      }
      // What lies behind is another chunk's.
      if used < pages { unsafe buffer.bytes[used * pageSize] = 1 }
      let data = NonZeroExtents(of: buffer, pageSize: pageSize)
      if used == 0 {
        #expect(data.parts.isEmpty && data.zeroPages == 0)
      } else if let fault = Self.fault(of: data, isZero) {
        Issue.record("\(fault): \(isZero)")
      }
    }
    #expect(ring.takenCount == 0)
  }
}
