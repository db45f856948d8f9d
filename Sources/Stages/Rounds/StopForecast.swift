/// How long the processes would be stopped if everything that is left were copied now: the reckoning, without any clock or
/// process. It holds for a last round, and for whatever else copies what is left while they stand still.
struct StopForecast: Hashable, Sendable {
  /// The bytes that are left to copy.
  var dirtyBytes: UInt64
  /// How long one thread takes to find them, in nanoseconds.
  var scanNanoseconds: UInt64
  /// What one thread reads of them in a second, in bytes, as measured.
  var readRate: Double
  /// The threads that would read.
  var readers: Int
  /// The processors that these, and the one that finds the pages, share.
  var processors: Int
  /// The threads of the processes.
  var threads: Int
  /// Whether all of them are stopped in one go (the freezer of cgroups), and not one after the other.
  var isFrozen = false
  /// What the buffers hold.
  var bufferBytes: UInt64
  /// What is written, or sent, in a second, in bytes; nil where that was not measured.
  var writeRate: Double?

  /// What a stop takes that copies nothing: the last thread to stand still, wake-ups of our own threads, and the look
  /// whether all is as it was.
  static let leastNanoseconds = 1_500_000.0
  /// What each thread adds by being stopped and resumed with ptrace(2), which has it run through the kernel twice.
  static let nanosecondsPerThread = 30_000.0
  /// The same with the freezer.
  static let nanosecondsPerFrozenThread = 2_000.0
  /// What several threads get done at once, in parts of what each would alone: they share the memory's bandwidth.
  static let sharing = 0.9

  /// How long it would be.
  var duration: Duration {
    let reading = readRate > 0 ? Double(dirtyBytes) / readRate * 1e9 : 0
    let scanning = Double(scanNanoseconds)
    let together = Double(min(max(processors, 1), readers + 1))
    let readersAtOnce = Double(min(readers, max(processors, 1)))
    let scannersAtOnce = Double(min(ScanTeam.size(readers: readers), max(processors, 1)))
    // The pages are found while others are read already. Neither can be faster than by itself, nor both together than all
    // processors.
    let efficiency = readersAtOnce > 1 ? Self.sharing : 1
    let copying = max(
      scanning / (scannersAtOnce * (scannersAtOnce > 1 ? Self.sharing : 1)),
      reading / (readersAtOnce * efficiency), (scanning + reading) / (together * efficiency))
    var nanoseconds =
      Self.leastNanoseconds + copying
      + Double(threads) * (isFrozen ? Self.nanosecondsPerFrozenThread : Self.nanosecondsPerThread)
    if dirtyBytes > bufferBytes, let writeRate, writeRate > 0 {
      nanoseconds += Double(dirtyBytes - bufferBytes) / writeRate * 1e9
    }
    // More than anybody waits for, and less than a Duration holds.
    return .nanoseconds(Int64(min(nanoseconds, 1e18)))
  }
}

/// Whether a stop is short enough, or ever will be.
struct StopGoal: Hashable, Sendable {
  /// How long it may be.
  let limit: Duration

  /// What follows from a forecast.
  enum Verdict: Hashable, Sendable {
    /// The stop may come now.
    case fits
    /// Another round may make it shorter.
    case goesOn
    /// The last round has not.
    case doesNotConverge
  }

  /// - Parameters:
  ///   - now: the forecast; nil where there is none.
  ///   - before: that of the round before; nil after the first.
  func verdict(now: Duration?, before: Duration?) -> Verdict {
    guard let now else { return .doesNotConverge }
    if now <= limit { return .fits }
    guard let before else { return .goesOn }
    return now < before ? .goesOn : .doesNotConverge
  }
}

extension SluiceError {
  /// The stop that is left would be longer than it may be.
  ///
  /// - Parameters:
  ///   - rounds: how many were made.
  ///   - stop: how long it would be; nil where that cannot be told.
  ///   - isOutOfRounds: whether more rounds might help, and none may be made.
  init(notConvergingAfter rounds: Int, stop: Duration?, limit: Duration, isOutOfRounds: Bool) {
    let predicted = stop.map { "\($0.inMilliseconds) ms" } ?? "an unknown time"
    let reason =
      isOutOfRounds
      ? "no more rounds are allowed: allow more"
      : "another round would not shorten that: have them write less"
    self.init(
      .notConverging,
      "after \(rounds) rounds the processes would be stopped for \(predicted), but may be for \(limit.inMilliseconds) ms only (maxStop; --max-stop);"
        + " \(reason), or allow a longer stop; they run on")
  }
}
