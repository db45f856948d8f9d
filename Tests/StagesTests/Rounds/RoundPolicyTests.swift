import Testing

@testable import Sluice

@Suite struct RoundPolicyTests {
  private func figures(
    written: UInt64, skipped: UInt64 = 0, took: Duration = .seconds(1), elapsed: Duration = .seconds(1)
  ) -> RoundPolicy.Figures {
    RoundPolicy.Figures(pagesWritten: written, pagesSkippedParent: skipped, duration: took, elapsed: elapsed)
  }

  private func policy(_ change: (inout RoundPolicy) -> Void = { _ in }) -> RoundPolicy {
    var policy = RoundPolicy()
    policy.rounds = 10
    change(&policy)
    return policy
  }

  @Test func `ends with the last round that was asked for`() {
    let one = RoundPolicy()
    #expect(one.decide(number: 1, last: figures(written: 1000), previous: nil) == .end(.rounds))
    let first = figures(written: 1000)
    #expect(policy().decide(number: 1, last: first, previous: nil) == .goOn(pause: .zero))
    let ninth = figures(written: 1000, skipped: 1000)
    #expect(policy().decide(number: 10, last: ninth, previous: ninth) == .end(.rounds))
  }

  @Test func `ends when little is left, at the very page`() {
    let previous = figures(written: 1000)
    #expect(
      policy().decide(number: 2, last: figures(written: 63, skipped: 0), previous: previous)
        == .end(.fewPages))
    #expect(
      policy { $0.untilSkippedPercent = 100 }.decide(
        number: 2, last: figures(written: 64, skipped: 1000, took: .zero), previous: previous)
        == .goOn(pause: .zero))
    // Also the first round, of a tiny process.
    #expect(policy().decide(number: 1, last: figures(written: 10), previous: nil) == .end(.fewPages))
  }

  @Test func `ends when most is clean, at the very percent`() {
    let previous = figures(written: 1000)
    #expect(
      policy().decide(number: 2, last: figures(written: 300, skipped: 700), previous: previous)
        == .end(.mostlyClean))
    #expect(
      policy().decide(number: 2, last: figures(written: 301, skipped: 699, took: .zero), previous: previous)
        == .goOn(pause: .zero))
    // The first round has no parent, and says nothing about what is clean.
    #expect(
      policy { $0.untilSkippedPercent = 0 }.decide(
        number: 1, last: figures(written: 1000), previous: nil) == .goOn(pause: .zero))
  }

  @Test func `ends when it grows, at the very page`() {
    let previous = figures(written: 1000, skipped: 9)
    #expect(
      policy().decide(number: 3, last: figures(written: 1032, skipped: 9), previous: previous)
        == .end(.growth))
    #expect(
      policy().decide(number: 3, last: figures(written: 1031, took: .zero), previous: previous)
        == .goOn(pause: .zero))
  }

  @Test func `ends when the time is up, the pause included`() {
    let short = policy { $0.maxTime = .seconds(10) }
    #expect(
      short.decide(number: 1, last: figures(written: 1000, elapsed: .seconds(10)), previous: nil)
        == .end(.time))
    #expect(
      short.decide(number: 1, last: figures(written: 1000, elapsed: .seconds(9)), previous: nil)
        == .goOn(pause: .zero))
    let last = figures(written: 1000, took: .seconds(1), elapsed: .milliseconds(9_001))
    #expect(short.decide(number: 2, last: last, previous: figures(written: 1000)) == .end(.time))
  }

  @Test func `the pause follows the share that was written`() {
    let previous = figures(written: 10_000)
    let last = figures(written: 500, skipped: 500, took: .milliseconds(300))
    #expect(
      policy().decide(number: 2, last: last, previous: previous) == .goOn(pause: .milliseconds(150)))
    let long = figures(written: 9_000, skipped: 1_000, took: .seconds(100))
    #expect(
      policy().decide(number: 2, last: long, previous: previous)
        == .goOn(pause: RoundPolicy.longestPause))
  }

  /// What rounds do with the stop that is forecast after each, of which all else would have more made.
  @Test(
    arguments: [
      (1, 5, nil, RoundPolicy.Decision.end(.stopFits)), (1, 20, nil, .goOn(pause: .zero)),
      (2, 20, 30, .goOn(pause: .zero)), (2, 30, 30, .end(.noConvergence)), (2, nil, 30, .end(.noConvergence)),
      // As many as were asked for; but one that fits, fits.
      (9, 20, 30, .end(.rounds)), (9, 5, 30, .end(.stopFits)),
    ] as [(Int, Int?, Int?, RoundPolicy.Decision)])
  func `goes on until the stop is short enough`(
    number: Int, now: Int?, before: Int?, expected: RoundPolicy.Decision
  ) {
    let policy = policy {
      ($0.rounds, $0.untilPages, $0.untilSkippedPercent, $0.maxGrowthPages) = (9, 0, 101, .max)
      $0.maxStop = .milliseconds(10)
    }
    func round(_ stop: Int?, took: Duration = .zero) -> RoundPolicy.Figures {
      var round = figures(written: 1000, skipped: 1000, took: took)
      round.predictedStop = stop.map { .milliseconds($0) }
      return round
    }
    let decision = policy.decide(number: number, last: round(now), previous: number > 1 ? round(before) : nil)
    #expect(decision == expected)
  }

  @Test func `the percent rule holds beside the stop for those who ask for it`() {
    let policy = policy {
      $0.maxStop = .milliseconds(10)
      $0.untilSkippedPercent = 50
    }
    var round = figures(written: 1000, skipped: 1000)
    round.predictedStop = .milliseconds(20)
    var before = figures(written: 1000)
    before.predictedStop = .milliseconds(30)
    #expect(policy.decide(number: 2, last: round, previous: before) == .end(.mostlyClean))
  }

  @Test func `no stop is no time at all`() {
    #expect(throws: SluiceError.self) { try policy { $0.maxStop = .zero }.check() }
  }
}
