import Testing

@testable import Sluice
@testable import sluice

@Suite struct RoundsEstimateTests {
  private func estimate(pages: UInt64, written: UInt64) throws -> RoundsEstimate {
    let model = DirtyRateModel(
      totalPages: pages, windows: [.init(duration: .milliseconds(150), pages: written)])
    var policy = RoundPolicy()
    policy.rounds = 8
    return RoundsEstimate(try model.forecast(copyRate: 262_144, policy: policy), totalBytes: pages << 12)
  }

  @Test func `a stop with next to nothing to copy takes some milliseconds`() throws {
    // As redis was seen to be stopped: 436 MiB, for 5 to 10 ms.
    let stop = try estimate(pages: 111_646, written: 153).stop
    #expect(stop.lowerBound > .milliseconds(1) && stop.upperBound < .milliseconds(20), "\(stop)")
    #expect(stop.contains(.milliseconds(5)) && stop.contains(.milliseconds(10)), "\(stop)")
  }

  @Test func `all takes longer than the rounds, and a stop longer where more is left`() throws {
    let small = try estimate(pages: 262_144, written: 100)
    let large = try estimate(pages: 262_144, written: 200_000)
    #expect(small.total > .seconds(1))
    #expect(large.stop.lowerBound > small.stop.upperBound)
    #expect(large.total > small.total)
  }
}
