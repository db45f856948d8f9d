import Sluice

/// What `sluice top` shows: how much a process writes, where, and what a pre-dump would take.
struct TopView {
  /// Bytes that would be copied in a second.
  private let copyRate: Int
  /// Bytes that were written in a second, the newest last.
  private var history: [Double] = []

  init(copyRate: Int) { self.copyRate = copyRate }

  /// More than any terminal has columns.
  private static let longestHistory = 512
  /// From nothing to the most, in ASCII, which every terminal has.
  private static let levels = Array(" .:-=+*#%@")

  /// The picture after a further window.
  ///
  /// - Parameters:
  ///   - width: the columns of the terminal, which no line is wider than.
  ///   - height: its rows; there are no more lines.
  mutating func lines(adding report: DirtyRate.Report, width: Int, height: Int) -> [String] {
    history.append(report.bytesPerSecond)
    history.removeFirst(max(0, history.count - Self.longestHistory))
    var lines = [headline(report), writes(report), graph(width: width), estimate(report), ""]
    let rows = report.mappings.sorted { $0.pages > $1.pages }.prefix(max(0, height - lines.count - 2))
    lines.append(rows.isEmpty ? "nothing was written" : "   pages/s      written/s  mapping")
    lines += rows.map { row($0, report) }
    return lines.prefix(max(1, height - 1)).map { String($0.prefix(width)) }
  }

  private func headline(_ report: DirtyRate.Report) -> String {
    let others = report.processes > 1 ? " and \(Counted.text(report.processes - 1, "descendant"))" : ""
    let memory = ByteCount.text(Int(report.totalPages * report.pageSize))
    return "process \(report.pid)\(others): \(memory) of private memory; Ctrl-C ends this"
  }

  private func writes(_ report: DirtyRate.Report) -> String {
    guard let window = report.windows.last else { return "" }
    let bytes = ByteCount.text(Int(window.pages * report.pageSize))
    return
      "wrote to \(Counted.text(window.pages, "different page")) (\(bytes)) in \(Elapsed.text(window.duration))"
  }

  /// A column for each window that there is room for.
  private func graph(width: Int) -> String {
    let shown = history.suffix(max(1, width - 36))
    let most = shown.max() ?? 0
    let columns = shown.map { rate -> Character in
      guard rate > 0, most > 0 else { return Self.levels[0] }
      // What is above nothing can be seen.
      return Self.levels[max(1, Int((rate / most * Double(Self.levels.count - 1)).rounded()))]
    }
    return "[\(String(columns))] over time, at most \(ByteCount.text(Int(most)))/s"
  }

  private func estimate(_ report: DirtyRate.Report) -> String {
    var policy = RoundPolicy()
    policy.rounds = 8
    do throws(SluiceError) {
      let forecast = try report.model.forecast(
        copyRate: Double(copyRate) / Double(report.pageSize), policy: policy)
      let estimate = RoundsEstimate(
        forecast, of: report.model, pageSize: report.pageSize, copyRate: copyRate)
      return
        "a pre-dump now: \(Counted.text(forecast.rounds.count, "round")), about \(Elapsed.text(estimate.total)) in all, stopped for \(Elapsed.text(estimate.stop.lowerBound)) to \(Elapsed.text(estimate.stop.upperBound))"
    } catch {
      return ""
    }
  }

  private func row(_ mapping: DirtyRate.Mapping, _ report: DirtyRate.Report) -> String {
    let rate = "\(Int(mapping.pagesPerSecond.rounded()))"
    let bytes = ByteCount.text(Int(mapping.pagesPerSecond * Double(report.pageSize)))
    let owner = report.processes > 1 ? "pid \(mapping.pid) " : ""
    let name = mapping.name.isEmpty ? "" : " \(mapping.name)"
    return
      "\(padded(rate, 10)) \(padded(bytes, 14))  \(owner)\(Address.range(mapping.start, mapping.end))\(name)"
  }

  private func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
