/// When rounds have done what they can: the rules, without any clock or process.
///
/// The defaults are those of engines that have migrated for years: P.Haul ends with a round that wrote fewer than
/// 64 pages, or 32 more than the one before; LXD with one that found 70 percent of the pages clean.
public struct RoundPolicy: Hashable, Sendable {
  /// The most rounds, 1 at least.
  public var rounds = 1
  /// A round that copied fewer pages is the last.
  public var untilPages: UInt64 = 64
  /// A round in which at least so many percent of the pages were left to the parent is the last; above 100, none is the
  /// last for that.
  public var untilSkippedPercent: Double = 70
  /// A round that copied so many pages more than the one before is the last: it does not get less any more.
  public var maxGrowthPages: UInt64 = 32
  /// No round begins later than this, counted from the start of the first.
  public var maxTime: Duration?
  /// How long the processes may be stopped for what is left: rounds go on while each makes that shorter, until it is
  /// short enough. The other bounds hold beside it; to go by this alone, set `untilPages` to 0, `untilSkippedPercent` above 100, and
  /// `maxGrowthPages` to the highest number. Nil where it does not matter.
  public var maxStop: Duration?
  /// What becomes of a last round that was asked for, where that is not reached.
  public var ifNotConverging = IfNotConverging.stop

  /// What becomes of a last round whose stop would be longer than it may be.
  public enum IfNotConverging: String, Hashable, Sendable, CaseIterable {
    /// It is made all the same.
    case stop
    /// The rounds fail, and nothing is stopped.
    case fail
  }

  /// At most so many rounds; fewer where the other bounds end them, whose defaults hold.
  ///
  /// - Parameter rounds: 1 at least, which the rounds check.
  public init(rounds: Int = 1) { self.rounds = rounds }

  /// Makes sure that it can be meant.
  ///
  /// - Throws: `SluiceError` with `invalidArgument`.
  func check() throws(SluiceError) {
    guard rounds >= 1 else {
      throw SluiceError(.invalidArgument, "the number of rounds must be at least 1, not \(rounds)")
    }
    guard untilSkippedPercent >= 0 else {
      throw SluiceError(
        .invalidArgument,
        "the percentage of pages (untilSkippedPercent) must be at least 0, not \(untilSkippedPercent)")
    }
    if let maxStop, maxStop <= .zero || maxStop > PreDump.Configuration.longestTime {
      throw SluiceError(
        .invalidArgument, "the longest stop (maxStop) must be above 0, and 30 years at most, not \(maxStop)")
    }
    if let maxTime, maxTime < .zero {
      throw SluiceError(
        .invalidArgument, "the time for all rounds (maxTime) must be at least 0, not \(maxTime)")
    }
  }

  /// What is known of a round that has ended.
  struct Figures: Hashable, Sendable {
    var pagesWritten: UInt64
    var pagesSkippedParent: UInt64
    /// Of the round.
    var duration: Duration
    /// Since the start of the first round.
    var elapsed: Duration
    /// How long a stop would be now that copied what is left; nil where that is not known.
    var predictedStop: Duration?
  }

  /// Why there is no further round.
  public enum End: String, Hashable, Sendable, Codable {
    /// As many as were asked for.
    case rounds
    /// So little was copied that the final dump can copy it as well.
    case fewPages = "few-pages"
    /// Most pages were clean.
    case mostlyClean = "mostly-clean"
    /// The process writes faster than it is copied.
    case growth
    /// The time is up.
    case time
    /// What is left can be copied in a stop that is short enough.
    case stopFits = "stop-fits"
    /// The last round has not made the stop shorter, which is too long.
    case noConvergence = "no-convergence"
  }

  /// What comes after a round.
  enum Decision: Hashable, Sendable {
    case end(End)
    /// Another round, after a pause.
    case goOn(pause: Duration)
  }

  /// No pause is longer.
  static let longestPause = Duration.seconds(1)

  /// Decides what comes after `last`.
  ///
  /// - Parameters:
  ///   - number: the number of the round that has ended, from 1.
  ///   - previous: the round before; nil after the first.
  func decide(number: Int, last: Figures, previous: Figures?) -> Decision {
    let stop = maxStop.map {
      StopGoal(limit: $0).verdict(now: last.predictedStop, before: previous?.predictedStop)
    }
    if stop == .fits { return .end(.stopFits) }
    if number >= rounds { return .end(.rounds) }
    if stop == .doesNotConverge { return .end(.noConvergence) }
    if last.pagesWritten < untilPages { return .end(.fewPages) }
    if let previous {
      let pages = last.pagesWritten + last.pagesSkippedParent
      let percent = pages == 0 ? 100 : Double(last.pagesSkippedParent) * 100 / Double(pages)
      if percent >= untilSkippedPercent { return .end(.mostlyClean) }
      let (growth, isLess) = last.pagesWritten.subtractingReportingOverflow(previous.pagesWritten)
      if !isLess, growth >= maxGrowthPages { return .end(.growth) }
    }
    let pause = previous == nil ? .zero : Self.pause(after: last)
    if let maxTime, last.elapsed + pause >= maxTime { return .end(.time) }
    return .goOn(pause: pause)
  }

  /// The more a process writes, the more rounds without a pause would cost it, and the more of what is copied is
  /// soon written again: so the pause is the round's own time, by the share of the pages that were copied.
  private static func pause(after round: Figures) -> Duration {
    let pages = round.pagesWritten + round.pagesSkippedParent
    guard pages > 0 else { return .zero }
    return min(longestPause, round.duration * (Double(round.pagesWritten) / Double(pages)))
  }
}
