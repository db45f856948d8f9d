import Testing

@testable import Sluice

@Suite("Stop forecast")
struct StopForecastTests {
  /// 64 MiB at 4 GiB/s: 16 ms of reading by one thread.
  private func forecast(_ change: (inout StopForecast) -> Void = { _ in }) -> StopForecast {
    var forecast = StopForecast(
      dirtyBytes: 64 << 20, scanNanoseconds: 0, readRate: Double(4 << 30), readers: 1, processors: 1,
      threads: 0, bufferBytes: 1 << 30)
    change(&forecast)
    return forecast
  }

  private func milliseconds(_ forecast: StopForecast) -> Double {
    forecast.duration / .milliseconds(1)
  }

  private static let least = StopForecast.leastNanoseconds / 1e6

  @Test func `is the time of reading, and what a stop takes anyway`() {
    #expect(abs(milliseconds(forecast()) - Self.least - 15.625) < 0.01)
    #expect(abs(milliseconds(forecast { $0.dirtyBytes = 0 }) - Self.least) < 0.001)
    // Nothing is known of the rate.
    #expect(abs(milliseconds(forecast { $0.readRate = 0 }) - Self.least) < 0.001)
  }

  @Test func `several readers share the work and the memory`() {
    func reading(_ readers: Int, _ processors: Int) -> Double {
      milliseconds(forecast { ($0.readers, $0.processors) = (readers, processors) }) - Self.least
    }
    #expect(abs(reading(2, 2) - 15.625 / 2 / StopForecast.sharing) < 0.01)
    #expect(abs(reading(4, 8) - 15.625 / 4 / StopForecast.sharing) < 0.01)
    // Readers beyond the processors have nothing to run on.
    #expect(reading(8, 2) == reading(2, 2))
    #expect(reading(1, 8) == reading(1, 1))
  }

  @Test func `finding the pages goes on beside the reading, where there is a processor for it`() {
    func both(_ processors: Int, scan: UInt64) -> Double {
      milliseconds(
        forecast {
          ($0.processors, $0.scanNanoseconds) = (processors, scan)
        }) - Self.least
    }
    #expect(abs(both(1, scan: 5_000_000) - 20.625) < 0.01)
    #expect(abs(both(2, scan: 5_000_000) - 15.625) < 0.01)
    #expect(abs(both(2, scan: 40_000_000) - 40) < 0.01)
    // As many find pages as read them, and all of them and the readers have the processors that there are.
    let shared = milliseconds(
      forecast { ($0.readers, $0.processors, $0.scanNanoseconds) = (4, 64, 40_000_000) })
    #expect(abs(shared - Self.least - (40 + 15.625) / 5 / StopForecast.sharing) < 0.01)
    let found = milliseconds(
      forecast { ($0.readers, $0.processors, $0.dirtyBytes, $0.scanNanoseconds) = (64, 64, 0, 72_000_000) })
    #expect(abs(found - Self.least - 72 / 8 / StopForecast.sharing) < 0.01)
  }

  @Test func `threads cost by the way in which they are stopped`() {
    let (traced, frozen) = (
      forecast { $0.threads = 1000 }, forecast { ($0.threads, $0.isFrozen) = (1000, true) }
    )
    #expect(milliseconds(traced) - milliseconds(forecast()) > 10)
    #expect(frozen.duration < traced.duration)
    #expect(frozen.duration > forecast().duration)
  }

  @Test func `what the buffers do not hold waits for the writing`() {
    func written(_ buffers: UInt64, rate: Double?) -> Double {
      milliseconds(forecast { ($0.bufferBytes, $0.writeRate) = (buffers, rate) }) - Self.least - 15.625
    }
    #expect(abs(written(64 << 20, rate: Double(32 << 20))) < 0.01)
    #expect(abs(written(32 << 20, rate: Double(32 << 20)) - 1000) < 0.01)
    #expect(abs(written(32 << 20, rate: nil)) < 0.01)
  }

  @Test func `no time is too long to be told`() {
    #expect(
      forecast { ($0.dirtyBytes, $0.readRate) = (.max, 1) }.duration
        == .nanoseconds(1_000_000_000_000_000_000))
  }
}

@Suite("Stop goal")
struct StopGoalTests {
  private let goal = StopGoal(limit: .milliseconds(10))

  @Test(
    arguments: [
      (10, nil, StopGoal.Verdict.fits), (9, 5, .fits), (11, nil, .goesOn), (11, 12, .goesOn),
      // Not shorter is no better.
      (12, 12, .doesNotConverge), (13, 12, .doesNotConverge), (nil, nil, .doesNotConverge),
      (nil, 20, .doesNotConverge),
    ] as [(Int?, Int?, StopGoal.Verdict)])
  func `goes on while each round makes the stop shorter, until it fits`(
    now: Int?, before: Int?, expected: StopGoal.Verdict
  ) {
    func duration(_ number: Int?) -> Duration? { number.map { .milliseconds($0) } }
    #expect(goal.verdict(now: duration(now), before: duration(before)) == expected)
  }
}
