internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluiceTarget

/// The last resort, where the kernel does not tell what was written: every page is read in every round, and what is as
/// the last round found it is left to that round's images. It saves writing and space, not reading.
///
/// It touches nothing of the processes and clears nothing. So any number of rounds can build on the same images, and
/// one that fails takes nothing from its parent.
struct ContentTracker: DirtyTracker {
  let configuration: PreDump.Configuration

  func begin(
    _ tree: inout ProcessTree, on parent: RoundParent?, _ journal: RunJournal
  ) throws(SluiceError) -> PreparedRound {
    try onTarget { () throws(TargetError) in try tree.growWhileItRuns { _ in } }
    return try begin(
      tree, on: parent, where: parent.map { $0.pids(in: tree, configuration) } ?? [])
  }

  func beginLast(
    _ tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>,
    in room: consuming WrittenPages?,
    _ lease: StopLease
  ) throws(SluiceError) -> PreparedRound {
    try begin(tree, on: parent, where: isParentOf)
  }

  private func begin(
    _ tree: ProcessTree, on parent: RoundParent?, where isParentOf: Set<Int32>
  ) throws(SluiceError) -> PreparedRound {
    let uptime = Uptime.microseconds()
    let bootID = try onTarget { () throws(TargetError) in try Uptime.bootID() }
    var start = PreparedRound(of: tree, tracker: .content, uptime: uptime)
    // That of the chain; a new chain has a new one.
    let known = try onImages { () throws(ImagesError) in try parent?.images?.hashSeed() }
    let seed = known ?? UInt64.random(in: 0...UInt64.max)
    start.contents = ContentRound(
      parent: parent?.images, seed: seed,
      processes: start.processes.map { dumped in
        ContentRound.Known(
          owner: dumped.owner, isRoot: dumped.index == 0, pid: dumped.process.pid,
          isParents: isParentOf.contains(dumped.process.pid),
          head: PageHashHead(
            pageSize: UInt64(sluice_page_size()), pid: dumped.process.namespacePid,
            startTime: dumped.process.machineStartTime,
            dumpUptime: uptime, seed: seed, bootID: bootID))
      },
      logger: configuration.logger)
    return start
  }
}

/// What must be known to compare the pages of a round with those of the last.
struct ContentRound: Sendable {
  /// A process of the round.
  struct Known: Sendable {
    let owner: PageOwner
    /// Whether it is the process that was asked for.
    let isRoot: Bool
    /// As we see it.
    let pid: Int32
    /// Whether the parent's images are of it.
    let isParents: Bool
    /// What its hashes are of in this round.
    let head: PageHashHead
  }

  /// The images of the last round; nil where there are none that can be built on.
  let parent: ParentImages?
  /// That of the hashes.
  let seed: UInt64
  private let known: [PageOwner: Known]
  let logger: Logger

  init(parent: ParentImages?, seed: UInt64, processes: [Known], logger: Logger) {
    self.parent = parent
    self.seed = seed
    known = Dictionary(uniqueKeysWithValues: processes.map { ($0.owner, $0) })
    self.logger = logger
  }

  /// A process of the round.
  func known(of owner: PageOwner) -> Known? { known[owner] }

  /// The pages of a process as the last round found them; nil, and it is logged why, where that is not known.
  func lastPages(of known: Known) throws(SluiceError) -> LastPages? {
    guard let parent, known.isParents else { return nil }
    let reason: String
    do throws(ImagesError) {
      let hashes = try parent.hashes(pagemap: ImageNames(of: known.owner, at: 0).pagemap)
      let found: PageHashHead?
      switch hashes {
      case .some(let hashes): found = hashes.head
      case .none: found = nil
      }
      switch ParentVerdict.judge(hashesOf: found, for: known.head, inventory: parent.inventory) {
      case .usable:
        let coverage = try parent.coverage(pid: known.head.pid)
        if let hashes, let coverage { return LastPages(hashes: hashes, coverage: coverage) }
        reason = "they have no pages of this process"
      case .ignored(let why): reason = why
      }
    } catch {
      logger.warning(
        "copying all of process \(known.pid): the hashes of its earlier pages cannot be used: \(error)")
      return nil
    }
    // That a descendant is new is nothing unusual.
    logger.log(
      level: known.isRoot ? .warning : .notice,
      "copying all of process \(known.pid): the images in \(parent.path) cannot be used as a base: \(reason)")
    return nil
  }
}
