import Sluice

/// The figures of a pre-dump, for people and as JSON (in snake_case): the library's report, and what only the command
/// knows.
struct PreDumpOutput: Encodable {
  private let report: PreDumpReport
  /// The number of the round, from 1; nil where there is but one.
  let round: Int?
  /// Why there is no further round; nil where there is, or where there is but one.
  private let end: RoundPolicy.End?
  /// The most memory that this program has taken so far, everything included.
  private let peakMemory = SluiceRuntime.peakMemoryBytes

  init(_ report: PreDumpReport, round: Int? = nil, end: RoundPolicy.End? = nil) {
    self.report = report
    self.round = round
    self.end = end
  }

  /// What only the command knows of it.
  private struct Whole: Encodable {
    /// The number of the round, from 1; nil where there is only one pre-dump.
    let round: Int?
    /// Why there is no further round; nil where there is one.
    let roundsEnd: RoundPolicy.End?
    /// The most memory that sluice has taken so far, everything included, in bytes.
    let peakRssBytes: UInt64?
  }

  func encode(to encoder: any Encoder) throws {
    let whole = Whole(round: round, roundsEnd: end, peakRssBytes: peakMemory)
    try JoinedObject(report, whole).encode(to: encoder)
  }

  var summary: String {
    var lines = [
      "sluice: \(subject): \(ByteCount.text(Int(report.bytesWritten))) (\(Counted.pages(report.pagesWritten))) \(destination)"
        + " in \(Elapsed.text(report.duration)), \(rate)",
      "  buffers: \(ByteCount.text(report.buffersBytes)) of a budget of \(ByteCount.text(report.memoryBudget)); "
        + (report.frozen > .zero
          ? "the process was stopped for \(Elapsed.text(report.frozen))" : "the process kept running"),
    ]
    lines.append("  " + trackerLine)
    if let parent = report.parentDirectory, report.pagesSkippedParent > 0 {
      let pages = Counted.text(report.pagesSkippedParent, "unchanged page")
      lines.append("  \(pages) \(report.pagesSkippedParent == 1 ? "is" : "are") taken from \(parent)")
    }
    for (pid, reason) in report.processesSkipped.sorted(by: { "\($0.key)" < "\($1.key)" }) {
      lines.append("  process \(pid) was left out: \(reason)")
    }
    if let numa = report.numa { lines.append("  " + Self.text(numa)) }
    if report.holeBytes > 0 {
      lines.append("  \(ByteCount.text(Int(report.holeBytes))) of zeros take no space")
    }
    if report.pagesVanished > 0 {
      lines.append("  the process unmapped \(Counted.pages(report.pagesVanished)) before they could be read")
    }
    if let skipped = report.pagesSkipped["swapped"], skipped > 0 {
      lines.append(
        "  skipped in swap: \(Counted.pages(skipped)); 'criu dump' can build on these images only if the process"
          + " has written to all of them since")
    } else if report.pagesSwapped > 0 {
      lines.append(
        "  read back from swap: \(Counted.pages(report.pagesSwapped)), which the process has in memory now")
    }
    return lines.joined(separator: "\n")
  }

  /// A round of several, in a line.
  ///
  /// - Parameter reasonForLast: why the next one is the last, for which the processes are stopped; nil where it is not.
  func roundLine(reasonForLast: RoundPolicy.End?) -> String {
    let pages = report.pagesWritten + report.pagesSkippedParent
    var line =
      "sluice: round \(round ?? 1): \(report.pagesWritten) of \(Counted.pages(pages)), \(ByteCount.text(Int(report.bytesWritten))),"
      + " in \(Elapsed.text(report.duration)), into \(report.imagesDirectory); \(stopText)"
    if report.tries > 1 { line += "; at try \(report.tries)" }
    if let end {
      line += "; no more rounds: \(text(end))"
    }
    // That all rounds were made is what everybody expects.
    if let reasonForLast, reasonForLast != .rounds {
      line += "; the next round is the last: \(text(reasonForLast))"
    }
    return line
  }

  /// Why there is no further round, with the figure that decided.
  private func text(_ end: RoundPolicy.End) -> String {
    switch end {
    case .fewPages: return "only \(Counted.pages(report.pagesWritten)) had to be copied (--until-pages)"
    case .mostlyClean:
      let pages = report.pagesWritten + report.pagesSkippedParent
      let permille = pages > 0 ? report.pagesSkippedParent * 1000 / pages : 1000
      return "\(permille / 10).\(permille % 10) % of the pages were unchanged (--until-skipped)"
    case .rounds, .growth, .time, .stopFits, .noConvergence: return end.text
    }
  }

  /// How long the stop was, and was to be.
  private var stopText: String {
    let injected =
      report.injectionTime > .zero
      ? "one thread was stopped for \(Elapsed.text(report.injectionTime))" : "nothing was stopped"
    let frozen = report.frozen > .zero ? "stopped for \(Elapsed.text(report.frozen))" : injected
    guard let predicted = report.predictedStop else { return frozen }
    // It is predicted from the first thread that is told to stop.
    return report.isLast
      ? "stopped for \(Elapsed.text(report.stopped)), and predicted for \(Elapsed.text(predicted))"
      : "\(frozen); a stop for the rest would take \(Elapsed.text(predicted))"
  }

  /// Who has read what where, on a machine of several nodes.
  private static func text(_ numa: PreDumpReport.NUMA) -> String {
    if let reason = numa.givenUp { return "NUMA: went on without placement: \(reason)" }
    let (local, all) = numa.localBytes
    let nodes = numa.nodes.filter { $0.pagesLocal + $0.pagesRemote > 0 }.map {
      "\(ByteCount.text(Int($0.bytesLocal + $0.bytesRemote))) of node \($0.node)"
    }
    guard all > 0 else { return "NUMA: nothing was read" }
    return
      "NUMA: \(nodes.joined(separator: ", ")), \(local * 100 / all) % by readers there, into buffers there"
  }

  /// What tells which pages are written from now on, and who can build on the images.
  var trackerLine: String {
    let name = "tracker: \(report.tracker.rawValue)"
    switch report.tracker {
    case .softDirty, .both:
      return "\(name), cleared in \(Elapsed.text(report.clearTime)); 'criu dump' can build on these images"
    case .writeProtect:
      return
        "\(name), which lasts for this run: further rounds of it can build on these images, 'criu dump' cannot"
    case .content:
      return
        "\(name), which compares pages: later rounds with --tracker content can build on these images, 'criu dump' cannot"
    case .nothing:
      return
        "\(name): neither 'criu dump' nor a later round can build on these images. For later rounds, begin with --tracker content"
    }
  }

  private var destination: String {
    guard let server = report.pageServer else { return "into \(report.imagesDirectory)" }
    return report.hasPages
      ? "to the page server \(server) and into \(report.imagesDirectory)"
      : "to the page server \(server), their list into \(report.imagesDirectory)"
  }

  private var subject: String {
    switch report.processes.count {
    case 1: "process \(report.pid)"
    case 2: "process \(report.pid) and a descendant"
    default: "process \(report.pid) and \(report.processes.count - 1) descendants"
    }
  }

  private var rate: String {
    guard report.duration > .zero else { return "at once" }
    let perSecond = Double(report.bytesWritten) / (report.duration / .seconds(1))
    return ByteCount.text(Int(perSecond)) + "/s"
  }
}
