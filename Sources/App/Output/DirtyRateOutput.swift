import Sluice

/// What was measured, for people and as JSON (in snake_case).
struct DirtyRateOutput: Encodable {
  /// What only the command knows of it.
  private struct Whole: Encodable {
    let forecast: JoinedObject<DirtyRateModel.Forecast, CopyRate>
  }

  private struct CopyRate: Encodable {
    /// In bytes.
    let copyRate: Int
  }

  private let report: DirtyRate.Report
  private let forecast: DirtyRateModel.Forecast
  private let copyRate: Int

  /// - Parameter copyRate: bytes that would be copied in a second.
  /// - Throws: `SluiceError` with `invalidArgument`.
  init(_ report: DirtyRate.Report, copyRate: Int, _ policy: RoundPolicy) throws(SluiceError) {
    self.report = report
    self.copyRate = copyRate
    forecast = try report.model.forecast(
      copyRate: Double(copyRate) / Double(report.pageSize), policy: policy)
  }

  func encode(to encoder: any Encoder) throws {
    let whole = Whole(forecast: JoinedObject(forecast, CopyRate(copyRate: copyRate)))
    try JoinedObject(report, whole).encode(to: encoder)
  }

  /// People are told of so many mappings.
  private static let mostMappings = 20

  var text: String {
    var lines = [
      "process \(report.pid)\(report.processes > 1 ? " and \(report.processes - 1) descendants" : ""): \(bytes(report.totalPages)) of its own, writes \(ByteCount.text(Int(report.bytesPerSecond)))/s (\(Int(report.pagesPerSecond)) different pages a second)"
    ]
    lines.append("  different pages written within")
    lines += report.windows.map { "    \(Elapsed.text($0.duration)): \($0.pages) (\(bytes($0.pages)))" }
    lines.append("  rounds, at \(ByteCount.text(copyRate))/s, would copy")
    lines += forecast.rounds.enumerated().map {
      "    \($0.offset + 1): \($0.element.pages) pages (\(bytes($0.element.pages))) in \(Elapsed.text($0.element.duration))"
    }
    lines.append(
      "  and leave \(forecast.finalPages) pages (\(bytes(forecast.finalPages))) to the final dump: \(Elapsed.text(forecast.finalDuration)) (no more rounds: \(forecast.end.text))"
    )
    if !report.mappings.isEmpty { lines.append("  written most") }
    for mapping in report.mappings.prefix(Self.mostMappings) {
      let name = mapping.name.isEmpty ? "" : " \(mapping.name)"
      let owner = report.processes > 1 ? "pid \(mapping.pid) " : ""
      lines.append(
        "    \(owner)\(Address.range(mapping.start, mapping.end))\(name): \(Int(mapping.pagesPerSecond)) pages a second"
      )
    }
    let rest = report.mappings.count - Self.mostMappings
    if rest > 0 { lines.append("    and \(rest) other mappings") }
    if report.joinedGap > 0 {
      lines.append(
        "  gaps of up to \(ByteCount.text(Int(report.joinedGap))) between written pages count as written")
    }
    return lines.joined(separator: "\n")
  }

  private func bytes(_ pages: UInt64) -> String { ByteCount.text(Int(pages * report.pageSize)) }
}
