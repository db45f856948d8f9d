import Sluice

/// How long rounds and their stop would take, as people wait for them: a forecast with what it leaves out. What it adds
/// are constants that were measured, so it is said as a range. On a busy machine a stop takes longer.
struct RoundsEstimate {
  /// All rounds with the pauses between them, and the stop.
  let total: Duration
  /// How long the process would be stopped for the last round.
  let stop: ClosedRange<Duration>

  /// What a round takes beside its copying: looking for what was written, waiting for writes of devices, files that go to
  /// the disk. Rounds of a process that computes all the while were seen to take some 200 ms more.
  private static let roundOverhead = Duration.milliseconds(200)
  /// A stop that copies nothing, in milliseconds: the last thread to stand still, and the look whether all is as it was.
  private static let leastStop = 1.5
  /// The same where other programs run, too. Stops of redis and of a writing program that had hardly anything to copy took
  /// 4 to 11 ms.
  private static let usualStop = 8.0
  /// More than anybody waits for, and less than a Duration holds, in milliseconds.
  private static let longest = 1e15
  /// Looking for written pages, in milliseconds for each GiB of memory.
  private static let scanPerGiB = 4.0

  /// - Parameters:
  ///   - model: what the forecast was made of.
  ///   - pageSize: in bytes.
  ///   - copyRate: bytes that would be copied in a second.
  init(_ forecast: DirtyRateModel.Forecast, of model: DirtyRateModel, pageSize: UInt64, copyRate: Int) {
    let scan = Double(model.totalPages * pageSize) / Double(1 << 30) * Self.scanPerGiB
    // A round is not over when its bytes are copied: what is written until then is left as well.
    let last = (forecast.rounds.last?.duration ?? .zero) + Self.roundOverhead
    let left = Double(max(forecast.finalPages, model.pages(in: last)) * pageSize) / Double(copyRate) * 1000
    let least = Self.leastStop + max(scan, forecast.finalDuration / .milliseconds(1))
    let most = Self.usualStop + 2 * (scan + left)
    stop = .seconds(min(least, Self.longest) / 1000) ... .seconds(min(max(least, most), Self.longest) / 1000)
    let rounds = forecast.rounds.reduce(Duration.zero) { $0 + $1.duration }
    total = rounds + Self.roundOverhead * forecast.rounds.count + stop.upperBound
  }
}
