/// What a process writes, and what rounds would therefore cost: the reckoning, without any clock or process.
///
/// Memory is written again and again in places, so what counts is not how often it is written but how many different
/// pages are in some time. That is measured for windows of several lengths; between them it is taken to grow evenly,
/// beyond the longest as it did at last, and never further than all the pages that there are.
public struct DirtyRateModel: Hashable, Sendable {
  /// How many different pages were written in some time.
  public struct Window: Hashable, Sendable, Codable {
    /// How long it was.
    @Seconds public private(set) var duration: Duration
    /// The different pages.
    public let pages: UInt64

    /// A window.
    public init(duration: Duration, pages: UInt64) {
      self.duration = duration
      self.pages = pages
    }

    private enum CodingKeys: String, CodingKey {
      case duration = "seconds"
      case pages
    }
  }

  /// What rounds would be like.
  public struct Forecast: Hashable, Sendable, Codable {
    /// A round.
    public struct Round: Hashable, Sendable, Codable {
      /// Pages that it copies.
      public let pages: UInt64
      /// How long that takes.
      @Seconds public private(set) var duration: Duration

      init(pages: UInt64, duration: Duration) {
        self.pages = pages
        self.duration = duration
      }

      private enum CodingKeys: String, CodingKey {
        case pages
        case duration = "seconds"
      }
    }

    /// The first copies everything.
    public let rounds: [Round]
    /// Why there would be no further round.
    public let end: RoundPolicy.End
    /// Pages that are left for the final dump, while which the process stands still.
    public let finalPages: UInt64
    /// How long it takes to copy them; a dump does more than that.
    @Seconds public private(set) var finalDuration: Duration

    private enum CodingKeys: String, CodingKey {
      case rounds
      case end
      case finalPages = "final_pages"
      case finalDuration = "final_seconds"
    }
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
    for window in windows.filter({ $0.duration > .zero }).sorted(by: { $0.duration < $1.duration }) {
      most = min(max(most, window.pages), totalPages)
      if kept.last?.duration == window.duration { kept.removeLast() }
      kept.append(Window(duration: window.duration, pages: most))
    }
    self.windows = kept
  }

  /// How many different pages are written in some time, as far as that can be told.
  public func pages(in duration: Duration) -> UInt64 {
    var (before, slope) = (Window(duration: .zero, pages: 0), 0.0)
    for window in windows {
      slope = Double(window.pages - before.pages) / (window.duration - before.duration).inSeconds
      if duration <= window.duration { break }
      before = window
    }
    let pages = Double(before.pages) + slope * max(0, (duration - before.duration).inSeconds)
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
      throw SluiceError(.invalidArgument, "the copy rate must be above 0 pages a second, not \(copyRate)")
    }
    try policy.check()
    guard policy.rounds <= Self.mostRounds else {
      throw SluiceError(.invalidArgument, "the number of rounds must be from 1 to \(Self.mostRounds)")
    }
    var rounds: [Forecast.Round] = []
    var previous: RoundPolicy.Figures?
    var (pages, elapsed) = (totalPages, Duration.zero)
    while true {
      let duration = Self.time(for: pages, at: copyRate)
      rounds.append(Forecast.Round(pages: pages, duration: duration))
      elapsed += duration
      let figures = RoundPolicy.Figures(
        pagesWritten: pages, pagesSkippedParent: totalPages - pages, duration: duration, elapsed: elapsed)
      switch policy.decide(number: rounds.count, last: figures, previous: previous) {
      case .end(let end):
        let left = self.pages(in: duration)
        return Forecast(
          rounds: rounds, end: end, finalPages: left, finalDuration: Self.time(for: left, at: copyRate))
      case .goOn(let pause):
        elapsed += pause
        pages = self.pages(in: duration + pause)
        previous = figures
      }
    }
  }

  private static func time(for pages: UInt64, at copyRate: Double) -> Duration {
    // More than anybody waits for, and less than a Duration holds, also ten thousand times.
    .seconds(min(Double(pages) / copyRate, 1e12))
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
