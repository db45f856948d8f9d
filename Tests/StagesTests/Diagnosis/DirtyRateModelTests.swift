import Testing

@testable import Sluice

@Suite struct DirtyRateModelTests {
  private func model(_ windows: [(Double, UInt64)], of pages: UInt64 = 100_000) -> DirtyRateModel {
    DirtyRateModel(totalPages: pages, windows: windows.map { .init(duration: .seconds($0.0), pages: $0.1) })
  }

  /// Each round is a line of the forecast.
  @Test func aForecastHasAnEnd() throws {
    var policy = RoundPolicy()
    policy.rounds = DirtyRateModel.mostRounds + 1
    let error = #expect(throws: SluiceError.self) {
      try model([(1, 1000)]).forecast(copyRate: 1, policy: policy)
    }
    #expect(error?.code == .invalidArgument)
  }

  @Test func `a longer window has no fewer pages, and none more than there are`() {
    let windows = model([(4, 500), (1, 900), (2, 100), (8, 9_000_000), (0, 7)]).windows
    #expect(windows.map(\.duration) == [.seconds(1), .seconds(2), .seconds(4), .seconds(8)])
    #expect(windows.map(\.pages) == [900, 900, 900, 100_000])
    #expect(model([(1, 5), (1, 9), (1, 2)]).windows == [.init(duration: .seconds(1), pages: 9)])
  }

  @Test func `between windows it grows evenly, and beyond them as at last`() {
    let model = model([(1, 1000), (2, 1500), (4, 1700)])
    for (seconds, pages) in [
      (0, 0), (0.5, 500), (1, 1000), (1.5, 1250), (2, 1500), (3, 1600), (4, 1700), (6, 1900), (1e9, 100_000),
    ] as [(Double, UInt64)] {
      #expect(model.pages(in: .seconds(seconds)) == pages, "\(seconds)")
    }
    #expect(self.model([]).pages(in: .seconds(10)) == 0)
  }

  private func policy(_ rounds: Int) -> RoundPolicy {
    var policy = RoundPolicy()
    policy.rounds = rounds
    policy.untilSkippedPercent = 100
    return policy
  }

  @Test func `each round copies what was written during the one before`() throws {
    // 1000 different pages a second, and 10,000 copied: a tenth of the round before, and its pause.
    var policy = policy(3)
    policy.untilPages = 0
    let forecast = try model([(1, 1000), (100, 100_000)]).forecast(copyRate: 10_000, policy: policy)
    #expect(forecast.end == .rounds)
    #expect(forecast.rounds.map(\.pages) == [100_000, 10_000, 1100])
    #expect(forecast.rounds[0].duration == .seconds(10))
    #expect(forecast.finalPages == 110)
    #expect(forecast.finalDuration == .milliseconds(11))
  }

  @Test func `rounds end as those of a run do`() throws {
    let idle = try model([(10, 0)]).forecast(copyRate: 10_000, policy: policy(8))
    #expect(idle.rounds.map(\.pages) == [100_000, 0])
    #expect(idle.end == .fewPages)
    #expect(idle.finalPages == 0)
    // It writes everything in the time of a round: the second has all of it, and the third no less.
    let busy = try model([(1, 100_000)]).forecast(copyRate: 10_000, policy: policy(8))
    #expect(
      busy.rounds.map(\.pages) == [100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 100_000])
    #expect(busy.finalPages == 100_000)
    var usual = RoundPolicy()
    usual.rounds = 8
    let mostlyClean = try model([(1, 100), (100, 10_000)]).forecast(copyRate: 10_000, policy: usual)
    #expect(mostlyClean.rounds.map(\.pages) == [100_000, 1000])
    #expect(mostlyClean.end == .mostlyClean)
    #expect(mostlyClean.finalPages == 10)
  }

  @Test(arguments: [0, -1, .nan, .infinity])
  func `a rate that cannot be is refused`(rate: Double) {
    let error = #expect(throws: SluiceError.self) {
      try model([(1, 10)]).forecast(copyRate: rate, policy: policy(8))
    }
    #expect(error?.code == .invalidArgument)
  }

  @Test func `nothing to copy is a round of nothing`() throws {
    let forecast = try model([(1, 10)], of: 0).forecast(copyRate: 1, policy: policy(8))
    #expect(forecast.rounds == [.init(pages: 0, duration: .zero)])
    #expect(forecast.finalPages == 0)
  }

  @Test(arguments: [0.01, 0.1, 0.29, 0.31, 1, 10, 100, 86_400])
  func `windows double, fill the time, and are not too short`(seconds: Double) {
    let lengths = DirtyRateModel.windowLengths(in: seconds)
    #expect(abs(lengths.reduce(0, +) - seconds) < seconds * 1e-9)
    #expect((1...8).contains(lengths.count))
    #expect(lengths.count == 1 || lengths[0] >= 0.1)
    #expect(zip(lengths, lengths.dropFirst()).allSatisfy { abs($1 - 2 * $0) < seconds * 1e-9 })
    if seconds > 0.3 { #expect(lengths.count > 1) }
  }
}
