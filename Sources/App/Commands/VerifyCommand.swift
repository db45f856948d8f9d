import ArgumentParser
import Sluice

/// `sluice verify`
struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check that images fit together, or that they have what a process has.",
    discussion: """
      Without -t: every file is in the form that its name promises, entries are in order, pages files have the right \
      size, and every page that is left to a parent is there. With -t, in addition: the contents are those of the \
      process and its descendants, which are stopped for the while. Of each mapping it is told how many pages differ, \
      are missing from the images, or are gone from the process; a restore leaves out those that are gone, so nothing \
      is wrong with them.

      Exit code 0 when all is well, 65 when something is wrong or differs.
      """)

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("The images directory, the newest of its chain.", valueName: "dir"))
  var imagesDir: String

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional,
    help: ArgumentHelp("The process to compare with. It is stopped meanwhile.", valueName: "pid"))
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
    let output: VerifyOutput
    do throws(SluiceError) {
      var images = VerifyImages(directory: imagesDir)
      images.trustsParents = trust.trustParent
      output = VerifyOutput(imagesDir, try await images.run(), try await contents())
    } catch {
      throw CommandFailure.report(error)
    }
    guard json ? Terminal.json(output) : Terminal.data(output.text) else { throw CommandFailure.outputFailed }
    if !output.ok { throw ExitCode(.malformedImages) }
  }

  private func contents() async throws(SluiceError) -> [ContentsCheck.ProcessReport]? {
    guard let pid else { return nil }
    var check = ContentsCheck(directory: imagesDir, pid: pid)
    check.pageStates = pageStates.value
    check.trustsParents = trust.trustParent
    check.stopTimeLimit = stopOptions.limit
    return try await check.run()
  }
}

/// What was found, for people and as JSON (in snake_case).
private struct VerifyOutput: Encodable {
  /// What only the command knows of it.
  private struct Whole: Encodable {
    let imagesDir: String
    let ok: Bool
    let tasks: [ContentsCheck.ProcessReport]?
  }

  private let images: VerifyImages.Report
  private let whole: Whole

  init(_ directory: String, _ images: VerifyImages.Report, _ contents: [ContentsCheck.ProcessReport]?) {
    self.images = images
    let isEqual = (contents ?? []).allSatisfy(\.isEqual)
    whole = Whole(imagesDir: directory, ok: images.problems.isEmpty && isEqual, tasks: contents)
  }

  /// Whether all is well.
  var ok: Bool { whole.ok }

  func encode(to encoder: any Encoder) throws {
    try JoinedObject(images, whole).encode(to: encoder)
  }

  var text: String {
    var lines = [
      "\(whole.imagesDir): \(images.pages) pages in \(images.pagemaps) pagemaps, \(images.depth) directories in the chain"
    ]
    lines += images.problems.map { "  WRONG: \($0)" }
    lines += images.notes.map { "  note: \($0)" }
    for process in whole.tasks ?? [] {
      lines.append(
        "  process \(process.pid): \(process.isEqual ? "equal" : "DIFFERS"): \(process.pages.equal) pages the same, \(process.pages.differing) differing, "
          + "\(process.pages.missing) missing, \(process.pages.gone) gone since"
          + (process.hasImages ? "" : " (it has no images)")
      )
      for mapping in process.mappings {
        let name = mapping.name.isEmpty ? "" : " \(mapping.name)"
        lines.append(
          "    \(Address.range(mapping.start, mapping.end))\(name): \(mapping.differing) differing, \(mapping.missing) missing, \(mapping.gone) gone"
        )
      }
      if process.unmapped > 0 { lines.append("    no longer mapped: \(process.unmapped) gone") }
    }
    lines.append(ok ? "  all is well" : "  not all is well")
    return lines.joined(separator: "\n")
  }
}
