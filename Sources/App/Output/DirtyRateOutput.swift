import Sluice

/// What was measured, for people and as JSON (in snake_case).
struct DirtyRateOutput: Encodable {
  /// So many pages in such a time: written in a window, or copied in a round.
  struct Pages: Encodable {
    let pages: UInt64
    let seconds: Double
  }

  struct Forecast: Encodable {
    let copyRate: Int
    let rounds: [Pages]
    let end: String
    let finalPages: UInt64
    let finalSeconds: Double
  }

  struct Mapping: Encodable {
    let pid: Int32
    let start: String
    let end: String
    let name: String
    let pages: UInt64
    let pagesPerSecond: Double
  }

  let pid: Int32
  let processes: Int
  let tracker: String
  let pageSize: UInt64
  let totalPages: UInt64
  let pagesPerSecond: Double
  let bytesPerSecond: Double
  let joinedGap: UInt64
  let windows: [Pages]
  let forecast: Forecast
  let mappings: [Mapping]

  /// - Parameter copyRate: bytes that would be copied in a second.
  /// - Throws: `SluiceError` with `invalidArgument`.
  init(pid: Int32, _ report: DirtyRate.Report, copyRate: Int, _ policy: RoundPolicy) throws(SluiceError) {
    let model = report.model
    self.pid = pid
    processes = report.processes
    tracker = report.tracker.rawValue
    pageSize = report.pageSize
    totalPages = model.totalPages
    pagesPerSecond = report.pagesPerSecond
    bytesPerSecond = report.pagesPerSecond * Double(report.pageSize)
    joinedGap = report.joinedGap
    windows = report.windows.map { Pages(pages: $0.pages, seconds: $0.seconds) }
    let made = try model.forecast(copyRate: Double(copyRate) / Double(report.pageSize), policy: policy)
    forecast = Forecast(
      copyRate: copyRate, rounds: made.rounds.map { Pages(pages: $0.pages, seconds: $0.seconds) },
      end: made.end.rawValue, finalPages: made.finalPages, finalSeconds: made.finalSeconds)
    let longest = report.windows.last?.seconds ?? 1
    mappings = report.mappings.map {
      Mapping(
        pid: $0.pid, start: Address.text($0.start), end: Address.text($0.end), name: $0.name,
        pages: $0.pages, pagesPerSecond: Double($0.pages) / longest)
    }
  }

  /// People are told of so many mappings.
  private static let mostMappings = 20

  var text: String {
    var lines = [
      "process \(pid)\(processes > 1 ? " and \(processes - 1) descendants" : ""): \(bytes(totalPages)) of its own, writes \(ByteCount.text(Int(bytesPerSecond)))/s (\(Int(pagesPerSecond)) different pages a second)"
    ]
    lines.append("  different pages written within")
    lines += windows.map { "    \(Elapsed.text(seconds: $0.seconds)): \($0.pages) (\(bytes($0.pages)))" }
    lines.append("  rounds, at \(ByteCount.text(forecast.copyRate))/s, would copy")
    lines += forecast.rounds.enumerated().map {
      "    \($0.offset + 1): \($0.element.pages) pages (\(bytes($0.element.pages))) in \(Elapsed.text(seconds: $0.element.seconds))"
    }
    lines.append(
      "  and leave \(forecast.finalPages) pages (\(bytes(forecast.finalPages))) to the final dump: \(Elapsed.text(seconds: forecast.finalSeconds)) (no more rounds: \(endText))"
    )
    if !mappings.isEmpty { lines.append("  written most") }
    for mapping in mappings.prefix(Self.mostMappings) {
      let name = mapping.name.isEmpty ? "" : " \(mapping.name)"
      let owner = processes > 1 ? "pid \(mapping.pid) " : ""
      lines.append(
        "    \(owner)\(mapping.start)-\(mapping.end)\(name): \(Int(mapping.pagesPerSecond)) pages a second")
    }
    let rest = mappings.count - Self.mostMappings
    if rest > 0 { lines.append("    and \(rest) other mappings") }
    if joinedGap > 0 {
      lines.append("  gaps of up to \(ByteCount.text(Int(joinedGap))) between written pages count as written")
    }
    return lines.joined(separator: "\n")
  }

  private var endText: String { RoundPolicy.End(rawValue: forecast.end)?.text ?? forecast.end }

  private func bytes(_ pages: UInt64) -> String { ByteCount.text(Int(pages * pageSize)) }
}
