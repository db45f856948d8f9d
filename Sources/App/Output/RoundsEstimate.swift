import Sluice

/// How long rounds and their stop would take, as people wait for them: a forecast with what it leaves out. What it adds
/// are constants that were measured, so it is said as a range.
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
  /// The same on a machine that has much else to do. Stops of redis and of a writing program that had hardly anything to
  /// copy took 4 to 11 ms.
  private static let busyStop = 8.0
  /// Looking for written pages, in milliseconds for each GiB of memory.
  private static let scanPerGiB = 4.0

  /// - Parameter totalBytes: the process' own memory.
  init(_ forecast: DirtyRateModel.Forecast, totalBytes: UInt64) {
    let scan = Double(totalBytes) / Double(1 << 30) * Self.scanPerGiB
    let copying = forecast.finalDuration / .milliseconds(1)
    let least = Self.leastStop + max(scan, copying)
    let most = Self.busyStop + 2 * (scan + copying)
    stop = .seconds(least / 1000) ... .seconds(most / 1000)
    let rounds = forecast.rounds.reduce(Duration.zero) { $0 + $1.duration }
    total = rounds + Self.roundOverhead * forecast.rounds.count + stop.upperBound
  }
}
