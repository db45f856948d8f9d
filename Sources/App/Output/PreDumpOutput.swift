import Sluice

/// The figures of a pre-dump, for people and as JSON (in snake_case).
struct PreDumpOutput: Encodable {
  /// The number of the round, from 1; nil where there is but one.
  let round: Int?
  /// Why there is no further round; nil where there is, or where there is but one.
  let roundsEnd: String?
  let pid: Int32
  let namespacePid: Int32
  let imagesDir: String
  /// How often it was begun.
  let tries: Int
  let parentDir: String?
  let tasks: [Task]
  let tasksSkipped: [String: String]
  let tracker: String
  let pageSize: UInt64
  let pagesScanned: UInt64
  let pagesWritten: UInt64
  let pagesSkippedParent: UInt64
  let pagesVanished: UInt64
  let pagesForced: UInt64
  let pagesSwapped: UInt64
  let pagesSkipped: [String: UInt64]
  let bytesWritten: UInt64
  let mappings: Int
  let mappingsSkipped: [String: Int]
  let durationUs: UInt64
  let frozenUs: UInt64
  /// How long threads stood still, one of each process at a time, to have the process watched; of all together.
  let injectionUs: UInt64
  /// How many did.
  let injections: Int
  let stop: Stop
  let clearUs: UInt64
  let memoryBudget: Int
  let buffersBytes: Int
  /// The most memory that this program has taken so far, everything included.
  let peakRssBytes: UInt64?
  let pagesZero: UInt64
  let holeBytes: UInt64
  let readers: Int
  let writeEngine: String
  let directIo: Bool
  let stalls: Stalls

  /// One of the tasks.
  struct Task: Encodable {
    let pid: Int32
    let namespacePid: Int32
    let pagesId: UInt32
    let error: String?
    let pagesScanned: UInt64
    let pagesWritten: UInt64
    let pagesSkippedParent: UInt64
  }

  /// The parts of a stop.
  struct Stop: Encodable {
    let stopUs: UInt64
    let scanUs: UInt64
    let clearUs: UInt64
    let copyUs: UInt64
    let resumeUs: UInt64
  }

  /// How long the stages waited for each other.
  struct Stalls: Encodable {
    let walkerWithoutBuffer: Wait
    let walkerPlansFull: Wait
    let readerWithoutPlan: Wait
    let readerChunksFull: Wait
    let writerWithoutChunk: Wait
    let writerQueueFull: Wait
  }

  /// One kind of wait.
  struct Wait: Encodable {
    let us: UInt64
    let bytes: UInt64

    init(_ wait: PreDumpReport.Stalls.Wait) {
      us = wait.microseconds
      bytes = wait.bytes
    }
  }

  init(_ report: PreDumpReport, round: Int? = nil, end: RoundPolicy.End? = nil) {
    self.round = round
    roundsEnd = end?.rawValue
    pid = report.pid
    namespacePid = report.namespacePid
    imagesDir = report.imagesDirectory
    tries = report.tries
    parentDir = report.parentDirectory
    tasks = report.tasks.map {
      Task(
        pid: $0.pid, namespacePid: $0.namespacePid, pagesId: $0.pagesID, error: $0.error?.description,
        pagesScanned: $0.pagesScanned, pagesWritten: $0.pagesWritten,
        pagesSkippedParent: $0.pagesSkippedParent)
    }
    tasksSkipped = Dictionary(
      report.tasksSkipped.map { ("\($0.key)", $0.value) }, uniquingKeysWith: { first, _ in first })
    tracker = report.tracker.rawValue
    pageSize = report.pageSize
    pagesScanned = report.pagesScanned
    pagesWritten = report.pagesWritten
    pagesSkippedParent = report.pagesSkippedParent
    pagesVanished = report.pagesVanished
    pagesForced = report.pagesForced
    pagesSwapped = report.pagesSwapped
    pagesSkipped = report.pagesSkipped
    bytesWritten = report.bytesWritten
    mappings = report.mappings
    mappingsSkipped = report.mappingsSkipped
    durationUs = report.durationMicroseconds
    frozenUs = report.frozenMicroseconds
    injectionUs = report.injectionMicroseconds.reduce(0, +)
    injections = report.injectionMicroseconds.count
    stop = Stop(
      stopUs: report.stop.stopMicroseconds, scanUs: report.stop.scanMicroseconds,
      clearUs: report.stop.clearMicroseconds, copyUs: report.stop.copyMicroseconds,
      resumeUs: report.stop.resumeMicroseconds)
    clearUs = report.clearMicroseconds
    memoryBudget = report.memoryBudget
    buffersBytes = report.buffersBytes
    peakRssBytes = OwnMemory.peakBytes
    pagesZero = report.pagesZero
    holeBytes = report.holeBytes
    readers = report.readers
    writeEngine = report.writeEngine
    directIo = report.isDirect
    stalls = Stalls(
      walkerWithoutBuffer: Wait(report.stalls.walkerWithoutBuffer),
      walkerPlansFull: Wait(report.stalls.walkerPlansFull),
      readerWithoutPlan: Wait(report.stalls.readerWithoutPlan),
      readerChunksFull: Wait(report.stalls.readerChunksFull),
      writerWithoutChunk: Wait(report.stalls.writerWithoutChunk),
      writerQueueFull: Wait(report.stalls.writerQueueFull))
  }

  var summary: String {
    var lines = [
      "sluice: \(subject): \(ByteCount.text(Int(bytesWritten))) (\(pagesWritten) pages) into \(imagesDir)"
        + " in \(Elapsed.text(microseconds: durationUs)), \(rate)",
      "  buffers: \(ByteCount.text(buffersBytes)) of a budget of \(ByteCount.text(memoryBudget));"
        + " the process was stopped for \(Elapsed.text(microseconds: frozenUs))",
    ]
    lines.append("  tracker: " + trackerText)
    if let parentDir {
      lines.append("  \(pagesSkippedParent) pages were not written since and are left to \(parentDir)")
    }
    for (pid, reason) in tasksSkipped.sorted(by: { $0.key < $1.key }) {
      lines.append("  process \(pid) was left out: \(reason)")
    }
    if holeBytes > 0 {
      lines.append("  \(ByteCount.text(Int(holeBytes))) of zeros take no space")
    }
    if pagesVanished > 0 {
      lines.append("  \(pagesVanished) pages were unmapped by the process before they could be read")
    }
    if let skipped = pagesSkipped["swapped"], skipped > 0 {
      lines.append(
        "  \(skipped) pages were left in swap: 'criu dump' takes these images as a parent only if the process"
          + " has written to them since")
    } else if pagesSwapped > 0 {
      lines.append("  \(pagesSwapped) pages were in swap and are in the process' memory now")
    }
    return lines.joined(separator: "\n")
  }

  /// A round of several, in a line.
  ///
  /// - Parameter reasonForLast: why the next one is the last, for which the processes are stopped; nil where it is not.
  func roundLine(reasonForLast: RoundPolicy.End?) -> String {
    let pages = pagesWritten + pagesSkippedParent
    var line =
      "sluice: round \(round ?? 1): \(pagesWritten) of \(pages) pages, \(ByteCount.text(Int(bytesWritten))),"
      + " in \(Elapsed.text(microseconds: durationUs)); stopped for \(Elapsed.text(microseconds: frozenUs))"
    if tries > 1 { line += "; at try \(tries)" }
    if let roundsEnd, let end = RoundPolicy.End(rawValue: roundsEnd) {
      line += "; no more rounds: \(end.text)"
    }
    // That all rounds were made is what everybody expects.
    if let reasonForLast, reasonForLast != .rounds {
      line += "; the next is the last: \(reasonForLast.text)"
    }
    return line
  }

  private var trackerText: String {
    switch PreDumpReport.Tracker(rawValue: tracker) {
    case .softDirty, .both: "\(tracker), cleared in \(Elapsed.text(microseconds: clearUs))"
    case .writeProtect, .content: "\(tracker) ('criu dump' cannot take these images as a parent)"
    case .some(.none), nil:
      "none (this kernel keeps no soft-dirty bit, so 'criu dump' cannot take these images as a parent)"
    }
  }

  private var subject: String {
    switch tasks.count {
    case 1: "process \(pid)"
    case 2: "process \(pid) and a descendant"
    default: "process \(pid) and \(tasks.count - 1) descendants"
    }
  }

  private var rate: String {
    guard durationUs > 0 else { return "at once" }
    let perSecond = Double(bytesWritten) * 1_000_000 / Double(durationUs)
    return ByteCount.text(Int(perSecond)) + "/s"
  }
}
