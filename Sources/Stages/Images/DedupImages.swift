internal import SluiceImages
internal import SluiceSystem

/// Gives back the space of pages in a chain's older directories that the newest one has anew.
public struct DedupImages: Sendable {
  /// The newest directory of the chain.
  public let directory: String
  /// Whether the links of the chain are followed, and its files written, whoever they belong to.
  public var trustsParents = false
  private let place: ImagesPlace?

  /// The chain that ends with this directory.
  public init(directory: String) {
    self.directory = directory
    place = nil
  }

  /// The chain that ends with the images that a run has just made, if they are still where they were made.
  public init(of report: PreDumpReport) {
    directory = report.imagesDirectory
    place = report.place
  }

  /// What was given back.
  public struct Report: Hashable, Sendable, Codable {
    /// Pages of the parents.
    public let pages: UInt64
    /// Their bytes.
    public let bytes: UInt64
  }

  /// Runs to the end, on a thread of its own. The chain as a whole is as it was; its parents are no longer complete by
  /// themselves. The same is true where it is cancelled: what was given back by then stays so.
  ///
  /// - Throws: `SluiceError`: `malformedImages` for a chain that is unfinished or broken, `io` when the filesystem
  ///   has no holes, `cancelled`.
  public func run() async throws(SluiceError) -> Report {
    try await BlockingWork.run("freeing the space of older images") { () throws(SluiceError) in
      try runHere()
    }
  }

  private func runHere() throws(SluiceError) -> Report {
    try onImages { () throws(ImagesError) in
      var trust = place?.trust ?? Trust()
      if trustsParents { trust.trustsEverybody = true }
      let given = try ImageChain(path: directory, expecting: place?.identity, trust: trust).dedup()
      return Report(pages: given.pages, bytes: given.bytes)
    }
  }
}
