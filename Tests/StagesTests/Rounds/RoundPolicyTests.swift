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
}
