import Sluice

/// What was measured, for people and as JSON (in snake_case).
struct DirtyRateOutput: Encodable {
  /// What only the command knows of it.
  private struct Whole: Encodable {
    /// What rounds would be like.
    let forecast: JoinedObject<DirtyRateModel.Forecast, Estimates>
  }

  /// What follows from the forecast for who waits.
  private struct Estimates: Encodable {
    /// The assumed speed of copying (--copy-rate), in bytes a second.
    let copyRate: Int
    /// All rounds with the pauses between them, and the stop, in seconds.
    let totalSeconds: Double
    /// How long the process would be stopped for a last round (--final), at least, in seconds.
    let stopSecondsLeast: Double
    /// How long the process would be stopped for a last round (--final), at most, in seconds.
    let stopSecondsMost: Double
  }

  private let report: DirtyRate.Report
  private let forecast: DirtyRateModel.Forecast
  private let copyRate: Int
  private let estimate: RoundsEstimate

  /// - Parameter copyRate: bytes that would be copied in a second.
  /// - Throws: `SluiceError` with `invalidArgument`.
  init(_ report: DirtyRate.Report, copyRate: Int, _ policy: RoundPolicy) throws(SluiceError) {
    self.report = report
    self.copyRate = copyRate
    forecast = try report.model.forecast(
      copyRate: Double(copyRate) / Double(report.pageSize), policy: policy)
    estimate = RoundsEstimate(
      forecast, of: report.model, pageSize: report.pageSize, copyRate: copyRate)
  }

  func encode(to encoder: any Encoder) throws {
    let estimates = Estimates(
      copyRate: copyRate, totalSeconds: estimate.total / .seconds(1),
      stopSecondsLeast: estimate.stop.lowerBound / .seconds(1),
      stopSecondsMost: estimate.stop.upperBound / .seconds(1))
    try JoinedObject(report, Whole(forecast: JoinedObject(forecast, estimates))).encode(to: encoder)
  }

  /// People are told of so many mappings.
  private static let mostMappings = 20

  var text: String {
    var lines = [headline]
    lines.append(
      "  with 'pre-dump --rounds --final': about \(Elapsed.text(estimate.total)) in all, the process stopped for about"
        + " \(Elapsed.text(estimate.stop.lowerBound)) to \(Elapsed.text(estimate.stop.upperBound))")
    lines.append("  different pages written in a window of")
    lines += report.windows.map { "    \(Elapsed.text($0.duration)): \(amount($0.pages))" }
    lines.append("  rounds would copy, if \(ByteCount.text(copyRate)) a second are copied (--copy-rate):")
    lines += forecast.rounds.enumerated().map {
      "    round \($0.offset + 1): \(amount($0.element.pages)) in \(Elapsed.text($0.element.duration))"
    }
    lines.append("  then no more rounds: \(forecast.end.text)")
    lines.append(
      "  left for the final dump: \(amount(forecast.finalPages)), \(Elapsed.text(forecast.finalDuration)) to copy, not"
        + " counting the time to stop the process")
    if !report.mappings.isEmpty {
      lines.append("  mappings that were written to most, in the longest window")
    }
    for mapping in report.mappings.prefix(Self.mostMappings) {
      let name = mapping.name.isEmpty ? "" : " \(mapping.name)"
      let owner = report.processes > 1 ? "pid \(mapping.pid) " : ""
      lines.append(
        "    \(owner)\(Address.range(mapping.start, mapping.end))\(name): \(Counted.pages(mapping.pages))")
    }
    let rest = report.mappings.count - Self.mostMappings
    if rest > 0 { lines.append("    and \(Counted.text(rest, "other mapping"))") }
    if report.joinedGap > 0 {
      lines.append(
        "  gaps of up to \(ByteCount.text(Int(report.joinedGap))) between written pages count as written")
    }
    return lines.joined(separator: "\n")
  }

  private var headline: String {
    let others =
      report.processes > 1 ? " and \(Counted.text(report.processes - 1, "descendant"))" : ""
    let memory = ByteCount.text(Int(report.totalPages * report.pageSize))
    let written =
      report.windows.last.map {
        "; in \(Elapsed.text($0.duration)) it wrote to \(Counted.text($0.pages, "different page")) (\(bytes($0.pages)))"
      } ?? ""
    return "process \(report.pid)\(others): \(memory) of private memory\(written)"
  }

  private func amount(_ pages: UInt64) -> String { "\(Counted.pages(pages)) (\(bytes(pages)))" }

  private func bytes(_ pages: UInt64) -> String { ByteCount.text(Int(pages * report.pageSize)) }
}
