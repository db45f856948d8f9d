internal import CSluiceLinux

extension ImageChain {
  /// What was given back by `dedup`.
  public struct Deduplicated: Hashable, Sendable {
    /// Pages of the parents that the directory has anew.
    public var pages: UInt64 = 0
    /// What they took in the parents' files, in bytes; holes, from an earlier run or of zeros, count as well.
    public var bytes: UInt64 = 0
  }

  /// Gives back the space of all pages in the parents that the directory has anew. The chain as a whole is as it was;
  /// the parents are no longer complete by themselves.
  ///
  /// A task that has ended since a parent was made has nothing in the directory: its pages stay.
  ///
  /// - Throws: `ImagesError`: `malformed` for images that are unfinished or broken, `io` when the filesystem has no
  ///   holes (EOPNOTSUPP).
  public func dedup() throws(ImagesError) -> Deduplicated {
    // What is not known to be complete replaces nothing.
    guard try isFinished() else {
      throw ImagesError(
        .malformed, "\(path) has no inventory.img: its run was interrupted, so its pages replace none")
    }
    var total = Deduplicated()
    for name in try pagemapNames() {
      let pagemap = try ChainPagemap(name: name, in: self)
      while let run = try pagemap.next() {
        guard run.flags.contains(.present) else { continue }
        var position = run.address
        let end = run.address + run.pageCount * levels[0].directory.pageSize
        while position < end, let found = try pagemap.first(of: position..<end, from: 1) {
          let byteCount = found.place.end - found.start
          try pagemap.punch(found.place, byteCount: byteCount)
          total.bytes += byteCount
          total.pages += byteCount / levels[0].directory.pageSize
          position = found.place.end
        }
      }
    }
    return total
  }
}
