internal import SluiceImages
internal import SluiceTarget

/// What a round builds upon: the parent's images, and what must be copied whether or not they have it.
struct ParentBase: Sendable {
  let parent: RoundParent
  /// What is to be copied: what was written since the parent's images were made or, where the walk finds that out
  /// itself, what it cannot find.
  private let dirty: DirtySet
  /// The places in that set of the processes that the parent's images are of, by their pids in our pid namespace.
  private let places: [Int32: Int]
  /// What the parent has, of those processes whose pagemap was read before.
  private var ranges: [Int32: CoveredRanges] = [:]

  init(parent: RoundParent, dirty: DirtySet, places: [Int32: Int]) {
    self.parent = parent
    self.dirty = dirty
    self.places = places
  }

  /// The same with what was read before of the parent's pagemaps.
  func with(_ ranges: [Int32: CoveredRanges]) -> ParentBase {
    var base = self
    base.ranges = ranges
    return base
  }

  /// Reads the parent's pagemaps, while the processes still run: that takes longer than to look at their page tables.
  ///
  /// - Parameter isParentOf: the pids of the processes that it is of.
  /// - Returns: what it has, for those of which that is little.
  /// - Throws: `SluiceError` when they are broken.
  static func ranges(
    of processes: [TargetProcess], in parent: RoundParent, where isParentOf: Set<Int32>
  ) throws(SluiceError) -> [Int32: CoveredRanges] {
    guard let images = parent.images else { return [:] }
    var found: [Int32: CoveredRanges] = [:]
    // So many processes share what one may have.
    for process in processes.prefix(mostRead) where isParentOf.contains(process.pid) {
      found[process.pid] = try onImages { () throws(ImagesError) in
        guard let coverage = try images.coverage(pid: process.namespacePid) else { return nil }
        return try CoveredRanges(coverage)
      }
    }
    return found
  }

  /// Of the others the pagemaps are read while the processes stand still.
  private static let mostRead = 64

  /// What is known of the pages of a process before they are read; nothing without a base.
  static func known(of dumped: DumpedProcess, by base: ParentBase?) throws(SluiceError) -> ParentPageIndex {
    guard let base, let place = base.places[dumped.process.pid] else { return ParentPageIndex() }
    if let ranges = base.ranges[dumped.process.pid] {
      return ParentPageIndex(dirty: base.dirty.cursor(ofProcess: place), ranges: ranges)
    }
    switch base.parent {
    case .images(let images):
      let coverage = try onImages { () throws(ImagesError) in
        try images.coverage(pid: dumped.process.namespacePid)
      }
      return ParentPageIndex(dirty: base.dirty.cursor(ofProcess: place), coverage: coverage)
    case .sink(let written):
      return ParentPageIndex(
        dirty: base.dirty.cursor(ofProcess: place),
        ranges: CoveredRanges(written.covered[dumped.process.pid] ?? []))
    }
  }
}
