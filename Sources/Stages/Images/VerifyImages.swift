internal import SluiceImages
internal import SluiceSystem

/// Checks that images, and those that they build on, fit together: that nothing in them contradicts anything else,
/// and that every page that one leaves to its parent is there.
public struct VerifyImages: Sendable {
  /// The newest directory of the chain.
  public let directory: String
  /// Whether the links of the chain are followed whoever they belong to, and whoever may write where they lead.
  public var trustsParents = false

  /// The chain that ends with this directory.
  public init(directory: String) {
    self.directory = directory
  }

  /// What was looked at, and what is wrong.
  public struct Report: Sendable, Codable {
    /// Directories of the chain.
    public let depth: Int
    /// Pagemaps of the newest directory.
    public let pagemaps: Int
    /// Pages that they name, in their own files and in the parents'.
    public let pages: UInt64
    /// What is wrong, a line each; nothing where all is well.
    public let problems: [String]
    /// What is not wrong, and yet to be known, a line each.
    public let notes: [String]
  }

  /// Reads all pagemaps of the chain, on a thread of its own. It reads no pages: what it costs grows with the number of runs,
  /// not with the memory.
  ///
  /// - Throws: `SluiceError` with `notFound` or `io` when there is nothing to read, or it cannot be read; `cancelled`.
  ///   What is wrong with the images stands in the report.
  public func run() async throws(SluiceError) -> Report {
    try await BlockingWork.run("the check of the images") { () throws(SluiceError) in try runHere() }
  }

  private func runHere() throws(SluiceError) -> Report {
    let chain: ImageChain
    do throws(ImagesError) {
      chain = try ImageChain(path: directory, trust: Trust(everybody: trustsParents))
    } catch {
      guard error.code == .malformed else { throw SluiceError(error) }
      return Report(depth: 0, pagemaps: 0, pages: 0, problems: [error.description], notes: [])
    }
    return try onImages { () throws(ImagesError) in
      let checked = try chain.verify()
      return Report(
        depth: chain.depth, pagemaps: checked.pagemaps, pages: checked.pages, problems: checked.problems,
        notes: checked.notes)
    }
  }
}
