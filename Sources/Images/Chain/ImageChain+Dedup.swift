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
  /// the parents are no longer complete by themselves, and are marked as such before anything is taken from them.
  ///
  /// A process that has ended since a parent was made has nothing in the directory: its pages stay.
  ///
  /// - Throws: `ImagesError`: `malformed` for images that are unfinished or broken, `io` when the filesystem has no
  ///   holes (EOPNOTSUPP), `cancelled` when our task is cancelled: what was given back by then stays so.
  public func dedup() throws(ImagesError) -> Deduplicated {
    // What is not known to be complete replaces nothing, and what is not understood is not touched.
    if let problem = try verify().problems.first {
      throw ImagesError(.malformed, "\(problem); so no pages are removed")
    }
    // Also where the chain needs nothing of it.
    for name in try pagemapNames() { try ChainPagemap(name: name, in: self).checkForms() }
    var total = Deduplicated()
    // The parents 1 to this one are marked.
    var marked = 0
    for name in try pagemapNames() {
      let pagemap = try ChainPagemap(name: name, in: self)
      while let run = try pagemap.next() {
        try ImagesError.checkCancellation()
        guard run.flags.contains(.present) else { continue }
        var position = run.address
        let end = run.address + run.pageCount * levels[0].directory.pageSize
        while position < end, let found = try pagemap.first(of: position..<end, from: 1) {
          if found.place.level > marked {
            try pagemap.preparePunching(found.place)
            try markParents(marked + 1...found.place.level)
            marked = found.place.level
          }
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

  /// Says of parents that they are right only below the directory. Of those as well that lie between it and the one whose
  /// pages go: they leave these pages to that one.
  private func markParents(_ parents: ClosedRange<Int>) throws(ImagesError) {
    let own = try digest(of: 0)
    let child = try DirectoryPath.real(of: levels[0].directory.descriptor, named: path)
    for level in parents {
      let directory = levels[level]
      if try directory.directory.dedupMark()?.isOf(own) == true { continue }
      let real = try DirectoryPath.real(
        of: directory.directory.descriptor, named: directory.directory.path)
      try directory.directory.setDedupMark(
        DedupMark(digest: own, child: RelativePath.from(real, to: child)))
    }
  }

  private func digest(of level: Int) throws(ImagesError) -> PageHash {
    try PagemapsDigest.of(try levels[level].pagemapNames(), in: levels[level].directory)
  }

  /// The directories from which pages are gone that this chain may need, a line for each: `dedup` has given them back,
  /// since another directory has them anew, and that one is not in this chain above them.
  func dedupProblems() throws(ImagesError) -> [String] {
    var digests: [PageHash] = []
    var problems: [String] = []
    for (index, level) in levels.enumerated() {
      guard let mark = try level.directory.dedupMark() else { continue }
      while digests.count < index { digests.append(try digest(of: digests.count)) }
      if digests[..<index].contains(where: mark.isOf) { continue }
      problems.append(mark.problem(of: level.directory.path))
    }
    return problems
  }
}

extension DedupMark {
  /// What is wrong with a directory that is read without the one that has its pages.
  public func problem(of path: String) -> String {
    "\(path) lacks pages that 'sluice dedup' has removed, since \(path)/\(child) replaces them: it is only complete as the parent of that one"
  }
}
