internal import SluiceImages
internal import SluiceTarget

/// What a round builds upon: the parent's images, and what must be copied whether or not they have it.
struct ParentBase: Sendable {
  let parent: ParentImages
  /// What is to be copied: what was written since the parent's images were made or, where the walk finds that out
  /// itself, what it cannot find.
  private let dirty: DirtySet
  /// The places in that set of the processes that the parent's images are of, by the pids that we see them under.
  private let places: [Int32: Int]

  init(parent: ParentImages, dirty: DirtySet, places: [Int32: Int]) {
    self.parent = parent
    self.dirty = dirty
    self.places = places
  }

  /// What is known of the pages of a process before they are read; nothing without a base.
  static func known(of dumped: DumpedProcess, by base: ParentBase?) throws(SluiceError) -> ParentPageIndex {
    guard let base, let place = base.places[dumped.process.pid] else { return ParentPageIndex() }
    let coverage = try onImages { () throws(ImagesError) in
      try base.parent.coverage(pid: dumped.process.namespacePid)
    }
    return ParentPageIndex(dirty: base.dirty.cursor(ofProcess: place), coverage: coverage)
  }
}
