import ArgumentParser
import Sluice

/// `sluice verify`
struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check images for consistency, or compare them with a process.",
    discussion: """
      Without -t: checks that every file has the right form, that entries are in order, that pages files have the right \
      size, and that every page which is taken from a parent is there.

      With -t: also stops the process and its descendants, compares every byte (about 3 s for each GiB), and lets them run \
      again. For each mapping it prints how many pages differ, are missing from the images, or no longer exist in the \
      process. The last kind is harmless: a restore skips them. A process that runs after it was copied always differs. \
      Only a copy that left the process stopped (pre-dump --final --leave-stopped) is equal.

      Exit code 0 when everything is right, 65 when something is wrong or differs.
      """)

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("The images directory, the newest of its chain.", valueName: "dir"))
  var imagesDir: String

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional,
    help: ArgumentHelp("The process to compare with. It is stopped while that takes.", valueName: "pid"))
  var pid: Int32?

  @OptionGroup
  var trust: TrustOptions

  @OptionGroup
  var stopOptions: StopOptions

  @Flag(help: "Print one JSON object.")
  var json = false

  @Option(help: ArgumentHelp("How page states are found: auto, scan or pagemap.", visibility: .hidden))
  var pageStates = PageStatesOption.auto

  func run() async throws {
    if let rounds = RoundsDirectory(path: imagesDir) { throw CommandFailure.hasRounds(rounds) }
    let output: VerifyOutput
    do throws(SluiceError) {
      var images = VerifyImages(directory: imagesDir)
      images.trustsParents = trust.trustParent
      output = VerifyOutput(imagesDir, try await images.run(), try await contents(), pid: pid)
    } catch {
      throw CommandFailure.report(error)
    }
    guard json ? Terminal.json(output) : Terminal.data(output.text) else { throw CommandFailure.outputFailed }
    if !output.ok { throw ExitCode(.malformedImages) }
  }

  private func contents() async throws(SluiceError) -> ContentsCheck.Report? {
    guard let pid else { return nil }
    var check = ContentsCheck(directory: imagesDir, pid: pid)
    check.pageStates = pageStates.value
    check.trustsParents = trust.trustParent
    check.stopTimeLimit = stopOptions.limit
    return try await check.compare()
  }
}

/// What was found, for people and as JSON (in snake_case).
private struct VerifyOutput: Encodable {
  /// What only the command knows of it.
  private struct Whole: Encodable {
    /// The images directory, as it was named.
    let imagesDir: String
    /// Whether there are no problems, and with -t no differences.
    let ok: Bool
    /// The processes that were compared; nil without -t.
    let tasks: [ContentsCheck.ProcessReport]?
    /// How long the processes were stopped to compare, in microseconds; nil without -t.
    let stoppedUs: Int?
  }

  private let images: VerifyImages.Report
  private let contents: ContentsCheck.Report?
  private let whole: Whole
  private let pid: Int32?

  init(_ directory: String, _ images: VerifyImages.Report, _ contents: ContentsCheck.Report?, pid: Int32?) {
    self.images = images
    self.contents = contents
    self.pid = pid
    let isEqual = (contents?.processes ?? []).allSatisfy(\.isEqual)
    whole = Whole(
      imagesDir: directory, ok: images.problems.isEmpty && isEqual, tasks: contents?.processes,
      stoppedUs: contents.map { Int($0.stopped / .microseconds(1)) })
  }

  /// Whether everything is right.
  var ok: Bool { whole.ok }

  func encode(to encoder: any Encoder) throws {
    try JoinedObject(images, whole).encode(to: encoder)
  }

  var text: String {
    var lines = [
      "\(whole.imagesDir): \(Counted.pages(UInt64(images.pages))) in \(Counted.text(images.pagemaps, "pagemap")), \(Counted.text(images.depth, "directory", "directories")) in the chain"
    ]
    lines += images.problems.map { "  problem: \($0)" }
    lines += images.notes.map { "  note: \($0)" }
    for process in whole.tasks ?? [] { lines += text(of: process) }
    if let contents { lines += stopLines(contents) }
    lines.append(ok ? "  OK" : "  \(images.problems.isEmpty ? "not equal" : "problems found")")
    return lines.joined(separator: "\n")
  }

  private func text(of process: ContentsCheck.ProcessReport) -> [String] {
    guard process.hasImages else { return ["  process \(process.pid): the images are not of this process"] }
    var lines = [
      "  process \(process.pid): \(process.isEqual ? "equal" : "differs"): \(Counted.pages(process.pages.equal)) the same, \(process.pages.differing) differing, "
        + "\(process.pages.missing) missing, \(process.pages.gone) gone since"
    ]
    for mapping in process.mappings {
      let name = mapping.name.isEmpty ? "" : " \(mapping.name)"
      lines.append(
        "    \(Address.range(mapping.start, mapping.end))\(name): \(mapping.differing) differing, \(mapping.missing) missing, \(mapping.gone) gone"
      )
    }
    if process.unmapped > 0 { lines.append("    no longer mapped: \(process.unmapped) gone") }
    return lines
  }

  /// What the comparison did to the processes, and what its result is worth.
  private func stopLines(_ contents: ContentsCheck.Report) -> [String] {
    let who = contents.processes.count == 1 ? "the process was" : "the processes were"
    var lines = ["  \(who) stopped for \(Elapsed.text(contents.stopped)) to compare"]
    let differs = contents.processes.contains { $0.hasImages && !$0.isEqual }
    if differs, images.problems.isEmpty {
      lines.append(
        "  note: a process that runs writes to its memory, so it differs from a copy made before. To compare a copy,"
          + " leave the process stopped: 'sluice pre-dump --final --leave-stopped', then 'sluice verify -t', then"
          + " 'kill -CONT \(pid ?? 0)'")
    }
    return lines
  }
}
