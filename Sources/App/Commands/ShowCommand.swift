import ArgumentParser
import Glibc
import Sluice

/// `sluice show`
struct ShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print what an images directory holds.",
    discussion: """
      Prints whether the images are complete, what they build on, and how many pages of each process they have. They \
      may be Sluice's or CRIU's.

      With --mappings it also prints, for each mapping of the processes that still run: pages in these images, pages in the \
      parent, and pages of the process that are in neither. The process keeps running; 'sluice verify -t' stops it and \
      compares contents.
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

  @Flag(help: "List the runs of pages; with --json, one object for each.")
  var pages = false

  @Flag(help: "Draw the address spaces: # is in these images, + in the parent, . in neither.")
  var map = false

  @Flag(help: "List the mappings of running processes; with --json, one object for each.")
  var mappings = false

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional,
    help: ArgumentHelp(
      "With --mappings: the pid, as seen here, of the first process in the images, if it runs in another pid namespace. The other processes are looked for among its descendants.",
      valueName: "pid"))
  var pid: Int32?

  func validate() throws {
    if (directory == nil) == (imagesDir == nil) {
      throw ValidationError("name one images directory: show DIR, or show -D DIR")
    }
    if map && json { throw ValidationError("--map is a picture for people: leave out --json") }
    if pid != nil && !mappings { throw ValidationError("-t needs --mappings") }
  }

  func run() async throws {
    guard let directory = directory ?? imagesDir else { preconditionFailure("validate() sees to one") }
    if let rounds = RoundsDirectory(path: directory) { throw CommandFailure.hasRounds(rounds) }
    let isWritten: Bool
    do throws(SluiceError) {
      isWritten = try await show(directory)
    } catch {
      throw CommandFailure.report(error)
    }
    guard isWritten else { throw CommandFailure.outputFailed }
  }

  /// - Returns: whether standard output took all of it.
  private func show(_ directory: String) async throws(SluiceError) -> Bool {
    let summary = try await ImagesSummary(path: directory)
    guard json ? Terminal.json(summary) : Terminal.data(summary.text) else { return false }
    var processes: LiveProcesses?
    if let pid { processes = try await LiveProcesses(root: pid, imagesDirectory: directory) }
    for process in summary.processes {
      if pages, try await !list(process.pid, of: directory) { return false }
      if map, try await !draw(process.pid, of: directory) { return false }
      if mappings {
        let listing = MappingsListing(directory: directory, namespacePid: process.pid, json: json)
        if try !listing.print(of: processes) { return false }
      }
    }
    return true
  }

  /// Prints a process' entries, one a line.
  private func list(_ pid: Int32, of directory: String) async throws(SluiceError) -> Bool {
    let entries = try await ImageEntries(path: directory, pid: pid)
    for try await entry in entries {
      let end = entry.address + entry.pageCount * entries.pageSize
      let isWritten =
        json
        ? Terminal.json(
          ShowEntry(
            pid: pid, start: Address.text(entry.address), end: Address.text(end), pages: entry.pageCount,
            place: entry.place.rawValue))
        : Terminal.data(
          "  pid \(pid): \(Address.range(entry.address, end)) \(Counted.pages(entry.pageCount)), \(entry.place.text)"
        )
      guard isWritten else { return false }
    }
    return true
  }

  /// Draws a process' address space. It is read twice: for its outline, and to fill that.
  private func draw(_ pid: Int32, of directory: String) async throws(SluiceError) -> Bool {
    let outline = try await ImageEntries(path: directory, pid: pid)
    var map = AddressMap(width: Terminal.width(of: STDOUT_FILENO), pageSize: outline.pageSize)
    for try await entry in outline {
      map.outline(from: entry.address, to: entry.address + entry.pageCount * outline.pageSize)
    }
    let entries = try await ImageEntries(path: directory, pid: pid)
    for try await entry in entries {
      guard entry.place != .nowhere else { continue }
      map.fill(
        from: entry.address, to: entry.address + entry.pageCount * entries.pageSize,
        isInParent: entry.place == .parent)
    }
    return Terminal.data(
      (["  pid \(pid) (# in these images, + in the parent, . in neither):"] + map.lines.map { "  \($0)" })
        .joined(separator: "\n"))
  }
}

/// A run of pages as JSON (in snake_case).
private struct ShowEntry: Encodable {
  /// The process, by the pid that its images are named by.
  let pid: Int32
  /// The first address.
  let start: String
  /// The address after the last.
  let end: String
  /// How many pages it has.
  let pages: UInt64
  /// Where the pages are: present (in these images), parent, or nowhere (lazy).
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

extension ImagesSummary {
  /// The same for people.
  fileprivate var text: String {
    var lines = [
      "\(path): \(isReceived ? "received by a page server" : isFinished ? "finished" : "UNFINISHED (no inventory.img: the run that made it was interrupted, or still runs)")"
    ]
    if isSetAside {
      lines.append(
        "  set aside: no further round can build on these images, since a later round is running or was interrupted. They are complete: 'sluice flatten' works"
      )
    }
    if let deduplicated { lines.append("  NOT WHOLE: \(deduplicated)") }
    if let dumpUptime {
      let seconds = Int(dumpUptime.components.seconds)
      // What says that it was made as the machine started has CRIU take it for nobody's (see docs/interoperability.md).
      let time =
        seconds > 0
        ? "made \(WallClock.local(secondsSinceBoot: seconds)), if the machine was not restarted since"
        : "made"
      lines.append("  \(time) (\(seconds) s after boot), mode \(preDumpMode ?? "unknown")")
    }
    lines.append("  parent: \(parent ?? "none")")
    for process in processes {
      lines.append(
        "  pid \(process.pid): \(Counted.pages(process.pagesPresent)) in pages-\(process.pagesID).img, \(process.pagesInParent) in the parent, \(Counted.text(process.entries, "run")) of pages"
      )
      if let low = process.lowestAddress, let high = process.highestAddress {
        lines.append("    addresses \(Address.text(low)) to \(Address.text(high))")
      }
      if let fileBytes = process.fileBytes, let allocatedBytes = process.allocatedBytes {
        lines.append(
          "    \(ByteCount.text(Int(fileBytes))), \(ByteCount.text(Int(allocatedBytes))) of it on disk")
      }
    }
    return lines.joined(separator: "\n")
  }
}
