import Glibc
import Sluice

/// Shows how far a pre-dump has come: as a line that is written over and over where standard error is a
/// terminal, or as JSON lines.
enum ProgressDisplay {
  /// How the option `--progress` chooses.
  enum Style {
    case none
    case bar
    /// JSON lines for this descriptor.
    case json(Int32)

    /// A bar where somebody can see it: on a terminal that can go back to the start of a line.
    static var forTerminal: Style {
      // Whoever has a file for the messages wants to see nothing.
      guard !Terminal.hasLog, isatty(STDERR_FILENO) == 1 else { return .none }
      let type = unsafe getenv("TERM").map { unsafe String(cString: $0) }
      guard let type, !type.isEmpty, type != "dumb" else { return .none }
      return .bar
    }
  }

  /// Below that there is no room for a number that says something.
  private static let narrowest = 20

  /// Shows the progress until it ends.
  static func show(_ feed: ProgressFeed, as style: Style) async {
    switch style {
    case .none: return
    case .bar:
      for await progress in feed {
        // A terminal may be given another width at any time.
        let width = Terminal.width(of: STDERR_FILENO)
        // The line of a round that has ended makes room for its summary.
        let isShown = progress.phase != .ended && width >= narrowest
        Terminal.showStatus(isShown ? line(for: progress, width: width) : "")
      }
      // The summary that follows begins on a clean line.
      Terminal.showStatus(nil)
    case .json(let descriptor):
      // Whoever reads it may go, which is no reason to end a pre-dump.
      for await progress in feed where !Terminal.raw(jsonLine(for: progress) + "\n", to: descriptor) {
        return
      }
    }
  }

  /// One line of less than `width` columns, without colours, so that NO_COLOR has nothing to forbid.
  static func line(for progress: PreDumpProgress, width: Int) -> String {
    let round = progress.round.map { "round \($0): " } ?? ""
    let tries = progress.tries > 1 ? ", try \(progress.tries)" : ""
    if let phase = phaseText(progress.phase) { return String("\(round)\(phase)\(tries)".prefix(width - 1)) }
    let amount = "\(ByteCount.text(Int(progress.bytesWritten)))"
    let rate = bytesPerSecond(progress)
    let speed = "\(ByteCount.text(Int(rate)))/s"
    let stopped = progress.phase == .stopped ? ", process stopped" : ""
    guard let share = share(progress) else {
      let texts = ["\(round)\(amount), \(speed)\(stopped)\(tries)", "\(round)\(amount)", amount]
      return texts.first { $0.count <= width - 1 } ?? ""
    }
    let percent = "\(Int(share * 100))%"
    let remaining = seconds(left: progress, rate: rate).map { ", \($0) s left" } ?? ""
    let candidates = [
      " \(percent)  \(amount), \(speed)\(remaining)\(stopped)\(tries)",
      " \(percent)  \(amount), \(speed)\(tries)",
      " \(percent)  \(amount)",
      " \(percent)",
    ]
    let text = candidates.first { $0.count + round.count <= width - 1 } ?? " \(percent)"
    let room = width - 1 - text.count - round.count - 2
    guard room >= 10 else { return String((round + text.dropFirst()).prefix(width - 1)) }
    let cells = min(room, 40)
    let filled = Int((share * Double(cells)).rounded(.down))
    return "\(round)[" + String(repeating: "#", count: filled) + String(repeating: ".", count: cells - filled)
      + "]" + text
  }

  /// What is done while nothing is copied; nil while something is.
  private static func phaseText(_ phase: PreDumpProgress.Phase) -> String? {
    switch phase {
    case .preparing: "looking for pages to copy"
    case .publishing: "waiting for the disk"
    case .copying, .stopped, .ended: nil
    }
  }

  /// How much of the work is done; nil where nobody knows how much there is.
  private static func share(_ progress: PreDumpProgress) -> Double? {
    if progress.round ?? 1 > 1, progress.bytesExpected <= progress.bytesWritten { return nil }
    return progress.bytesExpected > 0 ? Double(progress.bytesWritten) / Double(progress.bytesExpected) : 0
  }

  private static func bytesPerSecond(_ progress: PreDumpProgress) -> Double {
    guard progress.elapsed > .zero else { return 0 }
    return Double(progress.bytesWritten) / (progress.elapsed / .seconds(1))
  }

  private static func seconds(left progress: PreDumpProgress, rate: Double) -> Int? {
    guard rate > 0 else { return nil }
    return Int((Double(progress.bytesExpected - progress.bytesWritten) / rate).rounded(.up))
  }

  /// What JSON has of it (in snake_case).
  private struct Line: Encodable {
    /// Bytes of this round that were written, or were read and found to be in the parent already.
    let bytesWritten: UInt64
    /// Bytes that will be written in this round, as far as that is known: as much as bytes_written where it is not.
    let bytesExpected: UInt64
    /// Bytes written in a second, since the round began.
    let bytesPerSecond: Int
    /// Time since the round began, in microseconds.
    let elapsedUs: UInt64
    /// How often the round was begun.
    let tries: Int
    /// What is being done: preparing, copying, stopped (copying while the processes are stopped), publishing, or ended.
    let phase: PreDumpProgress.Phase
    /// The number of the round, from 1; nil where there is only one pre-dump.
    let round: Int?
  }

  /// One JSON object, as `--progress json` writes it.
  static func jsonLine(for progress: PreDumpProgress) -> String {
    Terminal.encoded(
      Line(
        bytesWritten: progress.bytesWritten, bytesExpected: progress.bytesExpected,
        bytesPerSecond: Int(bytesPerSecond(progress)),
        elapsedUs: UInt64(max(progress.elapsed / .microseconds(1), 0)),
        tries: progress.tries, phase: progress.phase, round: progress.round))
  }
}
