import ArgumentParser
import Sluice

/// `sluice dedup`
struct DedupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dedup",
    abstract: "Free the disk space of pages in older images that newer images replace.",
    discussion: """
      Punches holes into the pages files of the directory's parents. The chain as a whole stays complete, but its parents \
      are no longer complete on their own: a file in each of them says so. No other command touches a parent's pages.
      """)

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("The newest directory of the chain.", valueName: "dir"))
  var imagesDir: String

  @OptionGroup
  var trust: TrustOptions

  @Flag(help: "Print the figures as one JSON object on standard output.")
  var json = false

  func run() async throws {
    if let rounds = RoundsDirectory(path: imagesDir) { throw CommandFailure.hasRounds(rounds) }
    let report: DedupImages.Report
    do throws(SluiceError) {
      var dedup = DedupImages(directory: imagesDir)
      dedup.trustsParents = trust.trustParent
      report = try await dedup.run()
    } catch {
      throw CommandFailure.report(error)
    }
    Terminal.message(
      "sluice: freed \(ByteCount.text(Int(report.bytes))) (\(Counted.pages(report.pages))) in the parents of \(imagesDir)"
    )
    let figures = JoinedObject(report, ImagesPaths(imagesDir: imagesDir))
    if json, !Terminal.json(figures) { throw CommandFailure.outputFailed }
  }
}
