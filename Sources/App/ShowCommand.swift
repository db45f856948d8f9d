import ArgumentParser
import Sluice

/// `sluice show`
struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print what an images directory holds.",
    discussion: """
      Whether the images are finished, what they build on, and how many pages of each process they have. They \
      may be Sluice's or CRIU's.
      """)

  @Argument(help: "The images directory.", completion: .directory)
  var directory: String

  @Flag(help: "Print it as one JSON object.")
  var json = false

  func run() throws {
    let summary: ImagesSummary
    do throws(PreDumpError) {
      summary = try ImagesSummary(path: directory)
    } catch {
      throw CommandFailure.report(error)
    }
    let output = ShowOutput(summary)
    let isWritten = json ? Terminal.json(output) : Terminal.data(output.text)
    guard isWritten else { throw CommandFailure.outputFailed }
  }
}

/// What a directory holds, for people and as JSON (in snake_case).
private struct ShowOutput: Encodable {
  struct Task: Encodable {
    let pid: Int32
    let pagesId: UInt32
    let entries: UInt64
    let pagesPresent: UInt64
    let pagesInParent: UInt64
    let lowestAddress: UInt64?
    let highestAddress: UInt64?
    let fileBytes: UInt64?
    let allocatedBytes: UInt64?
  }

  let imagesDir: String
  let finished: Bool
  let dumpUptimeUs: UInt64?
  let preDumpMode: String?
  let parent: String?
  let tasks: [Task]

  init(_ summary: ImagesSummary) {
    imagesDir = summary.path
    finished = summary.isFinished
    dumpUptimeUs = summary.dumpUptimeMicroseconds
    preDumpMode = summary.preDumpMode
    parent = summary.parent
    tasks = summary.tasks.map {
      Task(
        pid: $0.pid, pagesId: $0.pagesID, entries: $0.entries, pagesPresent: $0.pagesPresent,
        pagesInParent: $0.pagesInParent, lowestAddress: $0.lowestAddress,
        highestAddress: $0.highestAddress, fileBytes: $0.fileBytes, allocatedBytes: $0.allocatedBytes)
    }
  }

  var text: String {
    var lines = ["\(imagesDir): \(finished ? "finished" : "UNFINISHED (no inventory.img)")"]
    if let dumpUptimeUs {
      lines.append(
        "  taken \(dumpUptimeUs / 1_000_000) s after the machine started, mode \(preDumpMode ?? "unknown")")
    }
    lines.append("  parent: \(parent ?? "none")")
    for task in tasks {
      lines.append(
        "  pid \(task.pid): \(task.pagesPresent) pages in pages-\(task.pagesId).img, \(task.pagesInParent) in the parent, \(task.entries) entries"
      )
      if let low = task.lowestAddress, let high = task.highestAddress {
        lines.append("    addresses 0x\(String(low, radix: 16)) to 0x\(String(high, radix: 16))")
      }
      if let fileBytes = task.fileBytes, let allocatedBytes = task.allocatedBytes {
        lines.append(
          "    \(ByteCount.text(Int(fileBytes))), \(ByteCount.text(Int(allocatedBytes))) of it on disk")
      }
    }
    return lines.joined(separator: "\n")
  }
}
