/// How long processes may be stopped: from the first attempt to stop one, for so long and no longer.
public struct StopLease: Sendable {
  /// How long, unless it is said otherwise.
  public static let usualLimit = Duration.seconds(30)

  /// How long.
  public let limit: Duration
  /// When it ends.
  public let deadline: ContinuousClock.Instant

  /// Begins now.
  public init(limit: Duration) {
    self.limit = limit
    deadline = ContinuousClock.now + limit
  }

  /// Whoever has stopped processes resumes them at the end, and has so much time for that on a busy machine. After that the
  /// thread is taken for stuck in the kernel, and others do what they can for the processes.
  static let grace = Duration.seconds(5)

  /// The time until it is taken for stuck, in milliseconds.
  var millisecondsUntilStuck: Int64 {
    let (seconds, attoseconds) = ContinuousClock.now.duration(to: deadline + Self.grace).components
    return max(1, seconds * 1000 + attoseconds / 1_000_000_000_000_000)
  }

  /// What is left of it, but not more than so much.
  func left(atMost most: Duration) -> Duration {
    max(.zero, min(most, ContinuousClock.now.duration(to: deadline)))
  }

  /// Makes sure that our task goes on, and that it is not at its end.
  ///
  /// - Throws: `TargetError` with `cancelled` or `stoppedTooLong`.
  public func check() throws(TargetError) {
    try TargetError.checkCancellation()
    guard ContinuousClock.now < deadline else { throw isOver("it was known what to do with them") }
  }

  /// The limit in seconds.
  private var seconds: Double {
    let (seconds, attoseconds) = limit.components
    return Double(seconds) + Double(attoseconds) / 1e18
  }

  /// The error for a lease that is over while nobody has resumed the processes.
  var isStuck: TargetError {
    TargetError(
      .stoppedTooLong,
      "the processes are stopped for longer than \(seconds) s (stopTimeLimit; --stop-timeout): the thread that stopped them waits in the kernel; they run again when it returns, or when this program ends"
    )
  }

  /// The error for one that is over.
  ///
  /// - Parameter before: what should have been by then.
  public func isOver(_ before: String) -> TargetError {
    TargetError(
      .stoppedTooLong,
      "the processes were stopped for \(seconds) s (stopTimeLimit; --stop-timeout) before \(before), and run again: try again when the machine is less busy, or allow more time"
    )
  }
}
