import ArgumentParser
import Sluice

/// `sluice flatten`
struct FlattenCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flatten",
    abstract: "Make one complete images directory out of a chain of them.",
    discussion: """
      The new directory has all pages and no parent: it is restored faster, and can be moved without the others. All other \
      files of the newest directory are copied, so that CRIU can restore the result if the newest directory is a dump.
      """)

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("The newest directory of the chain.", valueName: "dir"))
  var imagesDir: String

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "Where the images go. It is made if it does not exist, and must hold no images yet.", valueName: "dir"))
  var output: String

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The memory that may be used, such as 16M or 1.5Gi.", valueName: "size"))
  var memoryBudget = ByteCount(bytes: 64 << 20)

  @OptionGroup
  var trust: TrustOptions

  @Flag(
    inversion: .prefixedNo,
    help: ArgumentHelp(
      "Whether to wait until the images are on the disk before they become valid.",
      discussion: "With --no-sync, images that look complete may be broken after the machine has crashed."))
  var sync = true

  @Flag(help: "Print the figures as one JSON object on standard output.")
  var json = false

  func run() async throws {
    if let rounds = RoundsDirectory(path: imagesDir) { throw CommandFailure.hasRounds(rounds) }
    var flatten = FlattenImages(directory: imagesDir, output: output)
    flatten.memoryBudget = memoryBudget.bytes
    flatten.syncs = sync
    flatten.trustsParents = trust.trustParent
    let configured = flatten
    let (result, cause) = await SignalCancellation.run { () async throws(SluiceError) in
      try await configured.run()
    }
    switch result {
    case .success(let report):
      Terminal.message(
        "sluice: made \(output) out of \(Counted.text(report.depth, "directory", "directories")):"
          + " \(Counted.pages(report.pages)), \(ByteCount.text(Int(report.bytes)))")
      if !report.isBase {
        Terminal.message(
          "sluice: no round can build on \(output): a later round was, or was to be, built on \(imagesDir) already"
        )
      }
      let figures = JoinedObject(report, ImagesPaths(imagesDir: imagesDir, output: output))
      if json, !Terminal.json(figures) { throw CommandFailure.outputFailed }
    case .failure(let error):
      throw CommandFailure.report(error, after: cause)
    }
  }
}
