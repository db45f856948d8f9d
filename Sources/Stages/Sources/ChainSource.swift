internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline

/// The pages of a chain of images, from whichever directory has them.
struct ChainSource: PageSource {
  /// The images.
  let chain: ImageChain
  /// The names of the chain's pagemaps.
  let pagemaps: [String]
  /// The size of a page in bytes.
  let pageSize: UInt64

  func walk(_ plans: inout PlanWriter) async throws {
    for name in pagemaps {
      let owner = PageOwner.image(pagemap: name)
      try await plans.begin(owner)
      let pagemap = try onImages { () throws(ImagesError) in try ChainPagemap(name: name, in: chain) }
      while let run = try onImages({ () throws(ImagesError) in try pagemap.next() }) {
        try await plans.read(PageRun(address: run.address, byteCount: run.pageCount * pageSize))
      }
      try await plans.end(owner)
    }
  }

  func makeReader() -> any PageSourceReader { Reader(of: chain) }

  /// Looks up where pages are, and reads them there.
  ///
  /// Used by one thread alone.
  private final class Reader: PageSourceReader {
    private let chain: ImageChain
    /// The pagemap of the owner whose pages were read last, asked from low addresses to high ones.
    private let open = Locked<(owner: PageOwner, pagemap: ChainPagemap)?>(nil)

    init(of chain: ImageChain) { self.chain = chain }

    func fill(_ plan: inout ReadPlan) throws {
      let pagemap = try pagemap(of: plan.owner)
      try plan.fillRuns { (run, room) throws(SluiceError) in
        do throws(ImagesError) { try Self.read(run, of: pagemap, into: &room) } catch {
          throw SluiceError(error)
        }
        return room.byteCount
      }
    }

    private func pagemap(of owner: PageOwner) throws(SluiceError) -> ChainPagemap {
      guard case .image(let name) = owner else { preconditionFailure("a chain has images") }
      if let known = open.withLock({ $0?.owner == owner ? $0?.pagemap : nil }) { return known }
      let opened = try onImages { () throws(ImagesError) in try ChainPagemap(name: name, in: chain) }
      open.withLock { $0 = (owner, opened) }
      return opened
    }

    private static func read(
      _ run: PageRun, of pagemap: ChainPagemap, into room: inout MutableRawSpan
    ) throws(ImagesError) {
      var position = run.address
      while position < run.end {
        let place = try pagemap.place(of: position..<run.end)
        let part = Int(position - run.address)..<Int(place.end - run.address)
        try pagemap.read(place, into: &room, at: part)
        position = place.end
      }
    }
  }
}
