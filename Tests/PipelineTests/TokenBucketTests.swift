import Testing

@testable import SluicePipeline

@Suite struct TokenBucketTests {
  private static let second: UInt64 = 1_000_000_000

  /// Passes pieces as fast as they may for some seconds of a clock that jumps as far as it is told to wait.
  private func passed(rate: UInt64, piece: Int, seconds: UInt64, lateness: UInt64 = 0) -> UInt64 {
    var (now, total): (UInt64, UInt64) = (5, 0)
    var bucket = TokenBucket(rate: rate, now: now)
    while true {
      now += bucket.wait(now: now) + lateness
      guard now < seconds * Self.second else { return total }
      _ = bucket.pass(piece, now: now)
      total += UInt64(piece)
    }
  }

  @Test(arguments: [1 << 10, 1 << 20, 100 << 20, 1 << 33] as [UInt64], [1, 4096, 1 << 20])
  func `so much passes as may`(rate: UInt64, piece: Int) {
    guard rate / UInt64(piece) < 1_000_000 else { return }
    let seconds: UInt64 = 100
    let total = passed(rate: rate, piece: piece, seconds: seconds)
    // A piece is passed whole, and a twentieth of a second's worth may have been saved up.
    let most = rate * seconds + UInt64(piece) + rate / 20
    #expect(
      total <= most && total + UInt64(piece) + rate / 100 >= rate * seconds, "\(total) of \(rate * seconds)")
  }

  /// A sleep takes longer than it is told; on average nothing is lost by that.
  @Test func `who wakes late makes up for it`() {
    let total = passed(rate: 100 << 20, piece: 1 << 20, seconds: 10, lateness: 2_000_000)
    #expect(total >= (100 << 20) * 99 / 10, "\(total)")
  }

  @Test func `no limit is none`() {
    var bucket = TokenBucket(rate: nil, now: 0)
    for _ in 0..<100 { #expect(bucket.pass(1 << 40, now: 0) == 0) }
  }

  @Test func `another rate holds from then on`() {
    var bucket = TokenBucket(rate: 1000, now: 0)
    // Ten seconds are owed.
    #expect(bucket.pass(10_000, now: 0) == 10 * Self.second)
    bucket.set(rate: 100_000, now: 0)
    #expect(bucket.wait(now: 0) == 10 * Self.second)
    bucket.set(rate: nil, now: 0)
    #expect(bucket.wait(now: 0) == 0)
    bucket.set(rate: 1000, now: Self.second)
    #expect(bucket.pass(1000, now: Self.second) <= Self.second)
  }

  @Test func `a clock that stands still or goes back does no harm`() {
    var bucket = TokenBucket(rate: 1000, now: Self.second)
    #expect(bucket.pass(1000, now: 0) == Self.second)
    #expect(bucket.wait(now: Self.second) == Self.second)
  }
}
