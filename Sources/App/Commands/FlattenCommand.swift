import ArgumentParser
import Sluice

/// `sluice flatten`
struct FlattenCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flatten",
    abstract: "Make one directory of images out of a chain of them.",
    discussion: """
      The new directory has all pages and no parent: it is restored faster, and can be moved by itself. All other \
      files of the newest directory are copied, so that a dump can be restored from the result.
      """)

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp("The newest directory of the chain.", valueName: "dir"))
  var imagesDir: String

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "Where the images go. It is made where there is none, and must hold no images yet.", valueName: "dir"))
  var output: String

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The memory that may be used, such as 16M or 1GiB.", valueName: "size"))
  var memoryBudget = ByteCount(bytes: 64 << 20)

  @OptionGroup
  var trust: TrustOptions

  @Flag(
    inversion: .prefixedNo,
    help: "Wait until the images are on the disk before they are declared valid.")
  var sync = true

  @Flag(help: "Print the figures as one JSON object on standard output.")
  var json = false

  func run() async throws {
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
        "sluice: \(report.depth) directories became one: \(report.pages) pages, \(ByteCount.text(Int(report.bytes))),"
          + " in \(output)")
      if !report.isBase {
        Terminal.message(
          "sluice: no round can build on \(output), as none can on \(imagesDir): one was, or was to be, built on that already"
        )
      }
      let figures = JoinedObject(report, ImagesPaths(imagesDir: imagesDir, output: output))
      if json, !Terminal.json(figures) { throw CommandFailure.outputFailed }
    case .failure(let error):
      throw CommandFailure.report(error, after: cause)
    }
  }
}
