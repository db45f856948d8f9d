internal import SluiceImages
internal import SluiceTarget

/// What a round builds upon: the parent's images, and what was written since they were made.
struct RoundBase: Sendable {
  let parent: ParentImages
  /// What was written since.
  let dirty: DirtySet
  /// The processes that the parent's images are of, by the pids that we see them under.
  let isParentOf: Set<Int32>

  /// What is known of the pages of a task before they are read; nothing without a base.
  static func known(of task: DumpTask, by base: RoundBase?) throws(PreDumpError) -> KnownPages {
    guard let base, base.isParentOf.contains(task.process.pid) else { return KnownPages() }
    let coverage = try onImages { () throws(ImagesError) in
      try base.parent.coverage(pid: task.process.namespacePid)
    }
    return KnownPages(dirty: base.dirty.cursor(ofTask: task.index), coverage: coverage)
  }
}
