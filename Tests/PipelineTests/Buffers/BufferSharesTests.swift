import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite struct BufferSharesTests {
  private static func divide(_ count: Int, _ weights: [Double], most: Int = 100) -> [Int] {
    var shares = BufferShares(parts: weights.count, mostInPart: most)
    shares.weights = weights
    return shares.divide(count)
  }

  @Test func `one part has them all`() {
    #expect(Self.divide(0, [1]) == [0])
    #expect(Self.divide(7, [1]) == [7])
    #expect(Self.divide(700, [1]) == [100])
  }

  @Test func `parts have as many as their shares are, and two at least`() {
    #expect(Self.divide(60, [1, 1]) == [30, 30])
    #expect(Self.divide(61, [1, 1]) == [31, 30])
    #expect(Self.divide(60, [0.875, 0.125]) == [51, 9])
    #expect(Self.divide(60, [0, 1]) == [2, 58])
    #expect(Self.divide(60, [0, 0]) == [30, 30])
    #expect(Self.divide(4, [0, 1]) == [2, 2])
    #expect(Self.divide(60, [0, 1], most: 50) == [10, 50])
    #expect(Self.divide(0, [1, 1]) == [0, 0])
  }

  @Test(arguments: 0..<20)
  func `together they never have more, nor less than there is room for`(seed: Int) {
    var random = SplitMix(seed: UInt64(seed))
    for _ in 0..<500 {
      let parts = Int.random(in: 1...9, using: &random)
      let weights = (0..<parts).map { _ in Double.random(in: 0...1, using: &random) }
      let count = Int.random(in: 0...300, using: &random)
      let most = Int.random(in: 2...64, using: &random)
      let counts = Self.divide(count, weights, most: most)
      #expect(counts.reduce(0, +) == min(count, parts * most), "\(count) \(weights) \(most): \(counts)")
      #expect(counts.allSatisfy { $0 <= most })
      if count >= 2 * parts { #expect(counts.allSatisfy { $0 >= 2 }) }
    }
  }
}
