import ArgumentParser
import Sluice

/// `sluice dedup`
struct DedupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dedup",
    abstract: "Give back the space of pages in older images that newer ones have anew.",
    discussion: """
      Punches holes into the pages files of the directory's parents; the chain as a whole stays as it is, but its \
      parents are no longer complete by themselves. No other command touches a parent's pages.
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
    let report: DedupImages.Report
    do throws(SluiceError) {
      var dedup = DedupImages(directory: imagesDir)
      dedup.trustsParents = trust.trustParent
      report = try await dedup.run()
    } catch {
      throw CommandFailure.report(error)
    }
    Terminal.message(
      "sluice: \(report.pages) pages, \(ByteCount.text(Int(report.bytes))), given back by the parents of \(imagesDir)"
    )
    let figures = JoinedObject(report, ImagesPaths(imagesDir: imagesDir))
    if json, !Terminal.json(figures) { throw CommandFailure.outputFailed }
  }
}
