/// What a process writes, and what rounds would therefore cost: the reckoning, without any clock or process.
///
/// Memory is written again and again in places, so what counts is not how often it is written but how many different
/// pages are in some time. That is measured for windows of several lengths; between them it is taken to grow evenly,
/// beyond the longest as it did at last, and never further than all the pages that there are.
public struct DirtyRateModel: Hashable, Sendable {
  /// How many different pages were written in some time.
  public struct Window: Hashable, Sendable {
    /// How long it was, in seconds.
    public let seconds: Double
    /// The different pages.
    public let pages: UInt64

    /// A window.
    public init(seconds: Double, pages: UInt64) {
      self.seconds = seconds
      self.pages = pages
    }
  }

  /// What rounds would be like.
  public struct Forecast: Hashable, Sendable {
    /// A round.
    public struct Round: Hashable, Sendable {
      /// Pages that it copies.
      public let pages: UInt64
      /// How long that takes, in seconds.
      public let seconds: Double
    }

    /// The first copies everything.
    public let rounds: [Round]
    /// Why there would be no further round.
    public let end: RoundPolicy.End
    /// Pages that are left for the final dump, while which the process stands still.
    public let finalPages: UInt64
    /// How long it takes to copy them, in seconds; a dump does more than that.
    public let finalSeconds: Double
  }

  /// The pages that there are to copy: no window has more.
  public let totalPages: UInt64
  /// From short to long, and none of a length that is there already.
  public let windows: [Window]

  /// - Parameters:
  ///   - totalPages: those that a first round copies.
  ///   - windows: as measured, in any order. What was written in one is written in a longer one too: where less was
  ///     measured, since processes do not write evenly, the longer one counts as the shorter.
  public init(totalPages: UInt64, windows: [Window]) {
    self.totalPages = totalPages
    var (kept, most): ([Window], UInt64) = ([], 0)
    for window in windows.filter({ $0.seconds > 0 }).sorted(by: { $0.seconds < $1.seconds }) {
      most = min(max(most, window.pages), totalPages)
      if kept.last?.seconds == window.seconds { kept.removeLast() }
      kept.append(Window(seconds: window.seconds, pages: most))
    }
    self.windows = kept
  }

  /// How many different pages are written in some time, in seconds, as far as that can be told.
  public func pages(in seconds: Double) -> UInt64 {
    var (before, slope) = (Window(seconds: 0, pages: 0), 0.0)
    for window in windows {
      slope = Double(window.pages - before.pages) / (window.seconds - before.seconds)
      if seconds <= window.seconds { break }
      before = window
    }
    let pages = Double(before.pages) + slope * max(0, seconds - before.seconds)
    return min(totalPages, UInt64(min(pages.rounded(), Double(UInt64.max / 2))))
  }

  /// The most rounds of a forecast.
  public static let mostRounds = 10_000

  /// What rounds would be like: each copies what was written since the one before had begun.
  ///
  /// - Parameters:
  ///   - copyRate: pages a second that are copied.
  ///   - policy: when they end.
  /// - Throws: `SluiceError` with `invalidArgument`.
  public func forecast(copyRate: Double, policy: RoundPolicy) throws(SluiceError) -> Forecast {
    guard copyRate > 0, copyRate.isFinite else {
      throw SluiceError(.invalidArgument, "\(copyRate) pages a second cannot be copied: more than none can")
    }
    try policy.check()
    guard policy.rounds <= Self.mostRounds else {
      throw SluiceError(.invalidArgument, "\(Self.mostRounds) rounds are the most that are reckoned with")
    }
    var rounds: [Forecast.Round] = []
    var previous: RoundPolicy.Figures?
    var (pages, elapsed) = (totalPages, 0.0)
    while true {
      // More than anybody waits for, and less than a Duration holds.
      let seconds = min(Double(pages) / copyRate, 1e12)
      rounds.append(Forecast.Round(pages: pages, seconds: seconds))
      elapsed += seconds
      let figures = RoundPolicy.Figures(
        pagesWritten: pages, pagesSkippedParent: totalPages - pages, duration: .seconds(seconds),
        elapsed: .seconds(elapsed))
      switch policy.decide(number: rounds.count, last: figures, previous: previous) {
      case .end(let end):
        let left = self.pages(in: seconds)
        return Forecast(rounds: rounds, end: end, finalPages: left, finalSeconds: Double(left) / copyRate)
      case .goOn(let pause):
        elapsed += pause / .seconds(1)
        pages = self.pages(in: seconds + pause / .seconds(1))
        previous = figures
      }
    }
  }

  /// The lengths of the windows that fit into some time, in seconds: each is twice as long as the one before, and none
  /// shorter than a tenth of a second, if that can be.
  static func windowLengths(in seconds: Double) -> [Double] {
    var count = 1
    while count < 8, seconds / Double((1 << (count + 1)) - 1) >= 0.1 { count += 1 }
    let shortest = seconds / Double((1 << count) - 1)
    return (0..<count).map { shortest * Double(1 << $0) }
  }
}
