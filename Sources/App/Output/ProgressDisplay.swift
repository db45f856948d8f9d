import Glibc
import Sluice

/// Shows how far a pre-dump has come: as a line that is written over and over where standard error is a
/// terminal, or as JSON lines.
enum ProgressDisplay {
  /// How the option `--progress` chooses.
  enum Style {
    case none
    case bar(width: Int)
    case json

    /// A bar where somebody can see it: on a terminal that can go back to the start of a line.
    static var forTerminal: Style {
      // Whoever has a file for the messages wants to see nothing.
      guard !Terminal.hasLog, isatty(STDERR_FILENO) == 1 else { return .none }
      let type = unsafe getenv("TERM").map { unsafe String(cString: $0) }
      guard let type, !type.isEmpty, type != "dumb" else { return .none }
      let width = Terminal.width(of: STDERR_FILENO)
      // Below that there is no room for a number that says something.
      return width >= 20 ? .bar(width: width) : .none
    }
  }

  /// Shows the progress until it ends.
  static func show(_ feed: ProgressFeed, as style: Style) async {
    switch style {
    case .none: return
    case .bar(let width):
      for await progress in feed {
        // The line of a round that has ended makes room for its summary.
        Terminal.raw("\r\u{1B}[K" + (progress.phase == .ended ? "" : line(for: progress, width: width)))
      }
      // The summary that follows begins on a clean line.
      Terminal.raw("\r\u{1B}[K")
    case .json:
      for await progress in feed { Terminal.raw(jsonLine(for: progress) + "\n") }
    }
  }

  /// One line of at most `width` columns, without colours, so that NO_COLOR has nothing to forbid.
  static func line(for progress: PreDumpProgress, width: Int) -> String {
    let share =
      progress.bytesExpected > 0 ? Double(progress.bytesWritten) / Double(progress.bytesExpected) : 0
    let percent = "\(Int(share * 100))%"
    let amount = "\(ByteCount.text(Int(progress.bytesWritten)))"
    let rate = bytesPerSecond(progress)
    let speed = "\(ByteCount.text(Int(rate)))/s"
    let remaining = seconds(left: progress, rate: rate).map { ", \($0) s left" } ?? ""
    let tries = progress.tries > 1 ? ", try \(progress.tries)" : ""
    let candidates = [
      " \(percent)  \(amount), \(speed)\(remaining)\(tries)", " \(percent)  \(amount), \(speed)\(tries)",
      " \(percent)  \(amount)",
      " \(percent)",
    ]
    let text = candidates.first { $0.count <= width - 1 } ?? ""
    let room = width - 1 - text.count - 2
    guard room >= 10 else { return text }
    let cells = min(room, 40)
    let filled = Int((share * Double(cells)).rounded(.down))
    return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: cells - filled) + "]"
      + text
  }

  private static func bytesPerSecond(_ progress: PreDumpProgress) -> Double {
    guard progress.elapsedMicroseconds > 0 else { return 0 }
    return Double(progress.bytesWritten) * 1_000_000 / Double(progress.elapsedMicroseconds)
  }

  private static func seconds(left progress: PreDumpProgress, rate: Double) -> Int? {
    guard rate > 0 else { return nil }
    return Int((Double(progress.bytesExpected - progress.bytesWritten) / rate).rounded(.up))
  }

  /// One JSON object, as `--progress json` writes it.
  static func jsonLine(for progress: PreDumpProgress) -> String {
    let rate = Int(bytesPerSecond(progress))
    let round = progress.round.map { ",\"round\":\($0)" } ?? ""
    return
      "{\"bytes_written\":\(progress.bytesWritten),\"bytes_expected\":\(progress.bytesExpected),\"bytes_per_second\":\(rate),\"elapsed_us\":\(progress.elapsedMicroseconds),\"tries\":\(progress.tries),\"phase\":\"\(progress.phase.rawValue)\"\(round)}"
  }
}
