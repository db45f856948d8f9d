import ArgumentParser
import Glibc
import Sluice

/// `sluice show`
struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print what an images directory holds.",
    discussion: """
      Whether the images are finished, what they build on, and how many pages of each process they have. They \
      may be Sluice's or CRIU's.

      With --mappings, also the mappings of each process that lives: of each, the pages that are in the images, those \
      that are in the parent's, and those that the process has and neither of them. The process goes on meanwhile; \
      'sluice verify -t' stops it and compares contents.
      """)

  @Argument(help: "The images directory.", completion: .directory)
  var directory: String?

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("The images directory, as for the other commands.", valueName: "dir"),
    completion: .directory)
  var imagesDir: String?

  @Flag(help: "Print it as one JSON object.")
  var json = false

  @Flag(help: "List the runs of pages, with --json one object for each.")
  var pages = false

  @Flag(help: "Draw the address spaces: # is here, + in the parent, . is neither.")
  var map = false

  @Flag(help: "List the mappings of processes that live, with --json one object for each.")
  var mappings = false

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    help: ArgumentHelp(
      "With --mappings: the process that the images begin with, where it has another pid here than in its own pid namespace. The others are sought among its descendants.",
      valueName: "pid"))
  var pid: Int32?

  func validate() throws {
    if (directory == nil) == (imagesDir == nil) {
      throw ValidationError("name one images directory: show DIR, or show -D DIR")
    }
    if map && json { throw ValidationError("--map is a picture for people: leave out --json") }
    if pid != nil && !mappings { throw ValidationError("-t is for --mappings") }
  }

  func run() throws {
    guard let directory = directory ?? imagesDir else { preconditionFailure("validate() sees to one") }
    let isWritten: Bool
    do throws(SluiceError) {
      isWritten = try show(directory)
    } catch {
      throw CommandFailure.report(error)
    }
    guard isWritten else { throw CommandFailure.outputFailed }
  }

  /// - Returns: whether standard output took all of it.
  private func show(_ directory: String) throws(SluiceError) -> Bool {
    let summary = try ImagesSummary(path: directory)
    let output = ShowOutput(summary)
    guard json ? Terminal.json(output) : Terminal.data(output.text) else { return false }
    let processes = try pid.map { (root) throws(SluiceError) in
      try LiveProcesses(root: root, imagesDirectory: directory)
    }
    for task in summary.tasks {
      if pages, try !list(task.pid, of: directory) { return false }
      if map, try !draw(task.pid, of: directory) { return false }
      if mappings {
        let listing = MappingsListing(directory: directory, task: task.pid, json: json)
        if try !listing.print(of: processes) { return false }
      }
    }
    return true
  }

  /// Prints a task's entries, one a line.
  private func list(_ pid: Int32, of directory: String) throws(SluiceError) -> Bool {
    let entries = try ImageEntries(path: directory, pid: pid)
    while let entry = try entries.next() {
      let end = entry.address + entry.pageCount * entries.pageSize
      let isWritten =
        json
        ? Terminal.json(
          ShowEntry(
            pid: pid, start: Address.text(entry.address), end: Address.text(end), pages: entry.pageCount,
            place: entry.place.rawValue))
        : Terminal.data(
          "  pid \(pid): \(Address.range(entry.address, end)) \(entry.pageCount) pages, \(entry.place.text)")
      guard isWritten else { return false }
    }
    return true
  }

  /// Draws a task's address space. It is read twice: for its outline, and to fill that.
  private func draw(_ pid: Int32, of directory: String) throws(SluiceError) -> Bool {
    let outline = try ImageEntries(path: directory, pid: pid)
    var map = AddressMap(width: Terminal.width(of: STDOUT_FILENO), pageSize: outline.pageSize)
    while let entry = try outline.next() {
      map.outline(from: entry.address, to: entry.address + entry.pageCount * outline.pageSize)
    }
    let entries = try ImageEntries(path: directory, pid: pid)
    while let entry = try entries.next() {
      guard entry.place != .nowhere else { continue }
      map.fill(
        from: entry.address, to: entry.address + entry.pageCount * entries.pageSize,
        isInParent: entry.place == .parent)
    }
    return Terminal.data((["  pid \(pid):"] + map.lines.map { "  \($0)" }).joined(separator: "\n"))
  }
}

/// A run of pages as JSON (in snake_case).
private struct ShowEntry: Encodable {
  let pid: Int32
  let start: String
  let end: String
  let pages: UInt64
  let place: String
}

extension ImageEntries.Place {
  fileprivate var text: String {
    switch self {
    case .present: "here"
    case .parent: "in the parent"
    case .nowhere: "nowhere (lazy)"
    }
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
  let setAside: Bool
  let deduplicated: String?
  let dumpUptimeUs: UInt64?
  let preDumpMode: String?
  let parent: String?
  let tasks: [Task]

  init(_ summary: ImagesSummary) {
    imagesDir = summary.path
    finished = summary.isFinished
    setAside = summary.isSetAside
    deduplicated = summary.deduplicated
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
    if setAside {
      lines.append(
        "  set aside: no further round can build on them, since one that was to is under way or was interrupted"
      )
    }
    if let deduplicated { lines.append("  NOT WHOLE: \(deduplicated)") }
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
        lines.append("    addresses \(Address.text(low)) to \(Address.text(high))")
      }
      if let fileBytes = task.fileBytes, let allocatedBytes = task.allocatedBytes {
        lines.append(
          "    \(ByteCount.text(Int(fileBytes))), \(ByteCount.text(Int(allocatedBytes))) of it on disk")
      }
    }
    return lines.joined(separator: "\n")
  }
}
