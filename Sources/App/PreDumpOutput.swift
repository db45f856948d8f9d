import Sluice

/// The figures of a pre-dump, for people and as JSON (in snake_case).
struct PreDumpOutput: Encodable {
  let pid: Int32
  let namespacePid: Int32
  let imagesDir: String
  let tracker: String
  let pageSize: UInt64
  let pagesScanned: UInt64
  let pagesWritten: UInt64
  let pagesSkippedParent: UInt64
  let pagesVanished: UInt64
  let pagesForced: UInt64
  let bytesWritten: UInt64
  let mappings: Int
  let mappingsSkipped: [String: Int]
  let durationUs: UInt64
  let frozenUs: UInt64
  let clearUs: UInt64
  let memoryBudget: Int
  let buffersBytes: Int

  init(_ report: PreDumpReport) {
    pid = report.pid
    namespacePid = report.namespacePid
    imagesDir = report.imagesDirectory
    tracker = report.tracker.rawValue
    pageSize = report.pageSize
    pagesScanned = report.pagesScanned
    pagesWritten = report.pagesWritten
    pagesSkippedParent = report.pagesSkippedParent
    pagesVanished = report.pagesVanished
    pagesForced = report.pagesForced
    bytesWritten = report.bytesWritten
    mappings = report.mappings
    mappingsSkipped = report.mappingsSkipped
    durationUs = report.durationMicroseconds
    frozenUs = report.frozenMicroseconds
    clearUs = report.clearMicroseconds
    memoryBudget = report.memoryBudget
    buffersBytes = report.buffersBytes
  }

  var summary: String {
    var lines = [
      "sluice: process \(pid): \(ByteCount.text(Int(bytesWritten))) (\(pagesWritten) pages) into \(imagesDir)"
        + " in \(Self.seconds(durationUs)), \(rate)",
      "  buffers: \(ByteCount.text(buffersBytes)) of a budget of \(ByteCount.text(memoryBudget));"
        + " the process was stopped for \(Self.seconds(frozenUs))",
    ]
    if tracker == "soft-dirty" {
      lines.append("  tracker: soft-dirty, cleared in \(Self.seconds(clearUs))")
    } else {
      lines.append(
        "  tracker: none (this kernel keeps no soft-dirty bit, so 'criu dump' cannot take these images as a parent)"
      )
    }
    if pagesVanished > 0 {
      lines.append("  \(pagesVanished) pages were unmapped by the process before they could be read")
    }
    return lines.joined(separator: "\n")
  }

  private var rate: String {
    guard durationUs > 0 else { return "at once" }
    let perSecond = Double(bytesWritten) * 1_000_000 / Double(durationUs)
    return ByteCount.text(Int(perSecond)) + "/s"
  }

  private static func seconds(_ microseconds: UInt64) -> String {
    if microseconds < 1000 { return "\(microseconds) µs" }
    if microseconds < 1_000_000 { return "\(microseconds / 1000) ms" }
    let hundredths = microseconds / 10_000
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) s"
  }
}
