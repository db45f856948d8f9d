import Testing

@testable import Sluice
@testable import sluice

@Suite struct RoundsEstimateTests {
  private func estimate(pages: UInt64, written: UInt64, copyRate: Int = 1 << 30) throws -> RoundsEstimate {
    let model = DirtyRateModel(
      totalPages: pages, windows: [.init(duration: .milliseconds(150), pages: written)])
    var policy = RoundPolicy()
    policy.rounds = 8
    return RoundsEstimate(
      try model.forecast(copyRate: Double(copyRate) / 4096, policy: policy), of: model, pageSize: 4096,
      copyRate: copyRate)
  }

  @Test func `a stop with next to nothing to copy takes some milliseconds`() throws {
    // As redis was seen to be stopped: 436 MiB, for 5 to 10 ms.
    let stop = try estimate(pages: 111_646, written: 153).stop
    #expect(stop.lowerBound > .milliseconds(1) && stop.upperBound < .milliseconds(20), "\(stop)")
    #expect(stop.contains(.milliseconds(5)) && stop.contains(.milliseconds(10)), "\(stop)")
  }

  @Test func `the slowest copying of the most memory is a time, too`() throws {
    let slow = try estimate(pages: 1 << 51, written: 1 << 50, copyRate: 1)
    #expect(slow.stop.upperBound >= slow.stop.lowerBound && slow.total > .seconds(1 << 30))
  }

  @Test func `all takes longer than the rounds, and a stop longer where more is left`() throws {
    let small = try estimate(pages: 262_144, written: 100)
    let large = try estimate(pages: 262_144, written: 200_000)
    #expect(small.total > .seconds(1))
    #expect(large.stop.lowerBound > small.stop.lowerBound && large.stop.upperBound > small.stop.upperBound)
    #expect(large.total > small.total)
  }
}
