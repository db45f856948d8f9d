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
    let round: Int?
    let roundsEnd: RoundPolicy.End?
    let peakRssBytes: UInt64?
  }

  func encode(to encoder: any Encoder) throws {
    let whole = Whole(round: round, roundsEnd: end, peakRssBytes: peakMemory)
    try JoinedObject(report, whole).encode(to: encoder)
  }

  var summary: String {
    var lines = [
      "sluice: \(subject): \(ByteCount.text(Int(report.bytesWritten))) (\(report.pagesWritten) pages) \(destination)"
        + " in \(Elapsed.text(report.duration)), \(rate)",
      "  buffers: \(ByteCount.text(report.buffersBytes)) of a budget of \(ByteCount.text(report.memoryBudget));"
        + " the process was stopped for \(Elapsed.text(report.frozen))",
    ]
    lines.append("  tracker: " + trackerText)
    if let parent = report.parentDirectory {
      lines.append("  \(report.pagesSkippedParent) pages were not written since and are left to \(parent)")
    }
    for (pid, reason) in report.processesSkipped.sorted(by: { "\($0.key)" < "\($1.key)" }) {
      lines.append("  process \(pid) was left out: \(reason)")
    }
    if let numa = report.numa { lines.append("  " + Self.text(numa)) }
    if report.holeBytes > 0 {
      lines.append("  \(ByteCount.text(Int(report.holeBytes))) of zeros take no space")
    }
    if report.pagesVanished > 0 {
      lines.append("  \(report.pagesVanished) pages were unmapped by the process before they could be read")
    }
    if let skipped = report.pagesSkipped["swapped"], skipped > 0 {
      lines.append(
        "  \(skipped) pages were left in swap: 'criu dump' takes these images as a parent only if the process"
          + " has written to them since")
    } else if report.pagesSwapped > 0 {
      lines.append("  \(report.pagesSwapped) pages were in swap and are in the process' memory now")
    }
    return lines.joined(separator: "\n")
  }

  /// A round of several, in a line.
  ///
  /// - Parameter reasonForLast: why the next one is the last, for which the processes are stopped; nil where it is not.
  func roundLine(reasonForLast: RoundPolicy.End?) -> String {
    let pages = report.pagesWritten + report.pagesSkippedParent
    var line =
      "sluice: round \(round ?? 1): \(report.pagesWritten) of \(pages) pages, \(ByteCount.text(Int(report.bytesWritten))),"
      + " in \(Elapsed.text(report.duration)); \(stopText)"
    if report.tries > 1 { line += "; at try \(report.tries)" }
    if let end {
      line += "; no more rounds: \(end.text)"
    }
    // That all rounds were made is what everybody expects.
    if let reasonForLast, reasonForLast != .rounds {
      line += "; the next is the last: \(reasonForLast.text)"
    }
    return line
  }

  /// How long the stop was, and was to be.
  private var stopText: String {
    let frozen = "stopped for \(Elapsed.text(report.frozen))"
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

  private var trackerText: String {
    switch report.tracker {
    case .softDirty, .both: "\(report.tracker.rawValue), cleared in \(Elapsed.text(report.clearTime))"
    case .writeProtect, .content:
      "\(report.tracker.rawValue) ('criu dump' cannot take these images as a parent)"
    case .none:
      "none (this kernel keeps no soft-dirty bit, so 'criu dump' cannot take these images as a parent)"
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
