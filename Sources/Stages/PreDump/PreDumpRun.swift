internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget
internal import SluiceWire

/// One run of a pre-dump, on the threads of its runtime. Its journal knows how far it has come, and says what is to be
/// undone where it ends early.
struct PreDumpRun: Sendable {
  let configuration: PreDump.Configuration
  let role: RoundRole
  /// Where the pages go; nil for a directory of images.
  let sink: (any PageSink)?
  let runtime: SluiceRuntime
  let progress: ProgressFeed
  /// The round, as it is told to the observer; nil where there is none.
  let observation: Observation?
  /// From the call on, in nanoseconds of the monotonic clock.
  private let began = sluice_monotonic_nanoseconds()

  init(
    configuration: PreDump.Configuration, role: RoundRole, sink: (any PageSink)?, runtime: SluiceRuntime,
    progress: ProgressFeed, observation: Observation? = nil
  ) {
    self.observation = observation
    self.configuration = configuration
    self.role = role
    self.sink = sink
    self.runtime = runtime
    self.progress = progress
  }

  @concurrent
  func run() async throws(SluiceError) -> PreDumpReport {
    progress.begin(round: role.number, tries: role.tries)
    let wish = try PlacementWish(configuration, on: await topology())
    let subject = try lookAtSubject()
    // Of a round that builds on another, most will not be copied: how much is known when it has been found.
    let isCompared = configuration.tracker == .content
    progress.expect(subject.parent == nil || isCompared ? subject.expected : 0)
    let target = try makeTarget(of: subject)
    let place = try imagesPlace(target, trust: subject.trust)
    let writer = wish.writer(
      filesystem: place?.identity.device, interface: subject.session?.connection.interfaceName)
    let lease = try await runtime.acquire(
      RuntimeNeeds(
        shares: subject.shares, limits: limits(of: target), readers: wish.readers,
        queueDepth: configuration.queueDepth, writeEngine: configuration.writeEngine,
        registersBuffers: configuration.registersBuffers, logger: configuration.logger,
        placement: wish.placement, nodeShares: wish.shares(of: subject.tree.processes),
        writerProcessors: writer?.processors))
    // It is the same in further rounds.
    configuration.logger.log(level: role.number ?? 1 > 1 ? .debug : .info, "\(lease.budget)")
    tellPlacement(lease, writerNode: writer?.node)
    observation?.tell(lease)
    defer { observation?.tellReleased() }
    let destination = makeDestination(target, session: subject.session, by: lease)
    do throws(SluiceError) {
      var report = try await heedingCancellation(of: subject.session) { () async throws(SluiceError) in
        try await copy(subject, to: destination, by: lease, place)
      }
      await runtime.release(lease, isReusable: true)
      report.tell(writerNode: writer?.node)
      return report
    } catch {
      await runtime.release(lease, isReusable: false)
      throw error
    }
  }

  /// The machine's nodes, where they matter.
  private func topology() async -> Topology {
    configuration.numa == .off ? .single : await runtime.topology
  }

  /// Who helps to look at the page tables of what stands still: as many as read it, but for the walker itself. Nil where nothing
  /// is stopped for as long as that takes.
  private func scanTeam(_ lease: RuntimeLease, hasParent: Bool) throws(SluiceError) -> ScanTeam? {
    let looksForSoftDirty = hasParent && [.automatic, .softDirty, .both].contains(configuration.tracker)
    guard role.isLast || looksForSoftDirty else { return nil }
    let count = ScanTeam.size(readers: configuration.readersOfStop) - 1
    return count > 0 ? ScanTeam(helpers: try lease.resources.scanners(count)) : nil
  }

  private func tellPlacement(_ lease: RuntimeLease, writerNode: Int?) {
    guard let placing = lease.placing, placing.isOn else { return }
    let buffers = placing.placement.places.indices.map { "\(lease.ring.limit(of: $0))" }.joined(
      separator: " + ")
    let writer = writerNode.map { "; the writer is on node \($0), near the device" } ?? ""
    configuration.logger.info("NUMA: \(placing.placement); \(buffers) buffers\(writer)")
  }

  /// Runs `body`, and ends the session with a page server, in which it may wait, when the task is cancelled.
  private func heedingCancellation<Success>(
    of session: SendingSession?, _ body: () async throws(SluiceError) -> Success
  ) async throws(SluiceError) -> Success {
    let result = await withTaskCancellationHandler {
      await Result(body)
    } onCancel: {
      session?.connection.interrupt()
    }
    return try result.get()
  }

  /// Copies everything, and makes valid what was written.
  private func copy(
    _ subject: Subject, to destination: Destination, by lease: RuntimeLease, _ place: ImagesPlace?
  ) async throws(SluiceError) -> PreDumpReport {
    var configuration = configuration
    if configuration.findsFreezeCgroup, configuration.freezeCgroup == nil, !role.leavesStopped {
      configuration.freezeCgroup = TreeCgroup.find(for: subject.tree)
      let found = configuration.freezeCgroup.map {
        "the cgroup \($0), which holds no other process, is frozen"
      }
      configuration.logger.info("where a stop is needed, \(found ?? "threads are stopped one by one")")
    }
    let journal = RunJournal(logger: configuration.logger)
    let team = try scanTeam(lease, hasParent: subject.parent != nil)
    defer { team?.end() }
    let preparer = RoundPreparer(
      configuration: configuration, role: role, dirtyBytes: subject.dirtyBytes, team: team, journal: journal,
      executor: lease.threads.starter)
    do throws(SluiceError) {
      return try await copy(
        subject, to: destination, by: lease, place, preparer, journal, team,
        isFrozen: configuration.freezeCgroup != nil)
    } catch {
      // The processes first: nothing else is waited for before they run.
      for step in journal.undo {
        switch step {
        case .resume: await preparer.resume()
        case .abortSink: await destination.sink.abort()
        case .putParentBack: journal.putParentBack()
        }
      }
      throw error
    }
  }

  private func copy(
    _ subject: Subject, to destination: Destination, by lease: RuntimeLease, _ place: ImagesPlace?,
    _ preparer: RoundPreparer, _ journal: RunJournal, _ team: ScanTeam?, isFrozen: Bool
  ) async throws(SluiceError) -> PreDumpReport {
    // Not while the processes stand still.
    if role.isLast { lease.ring.touch(subject.expected) }
    let stopReaders = role.isLast ? try lease.resources.readers(configuration.readersOfStop) : nil
    var terms = StopForecast.Terms(
      readers: configuration.readersOfStop, isFrozen: isFrozen,
      bufferBytes: UInt64(lease.ring.limit * lease.ring.layout.chunkBytes), writeRate: role.writeRate)
    var round = try await preparer.start(
      subject.tree, parent: subject.parent, forecasting: terms,
      by: role.isLast && role.forecastsStop ? lease.ring : nil)
    if role.isLast {
      progress.enter(.stopped)
    } else if let stop = round.stop {
      observation?.tellStop(nanoseconds: stop.total)
    }
    if let core = role.core {
      if core.choosesByThreads { try await preparer.capture() }
      round.selections = try core.select(
        round.processes, isLast: role.isLast, pageSize: UInt64(lease.ring.layout.pageSize))
    }
    // No round follows a last one, and it has no time.
    if !role.isLast { try role.covered?.look(at: round.processes) }
    let source = ProcessTreeSource(
      round, source: configuration.pageStates.source, swapped: configuration.swapped.pages, team: team)
    let observer = RunObserver(
      preparer: preparer, processes: round.processes, leavesStopped: role.leavesStopped, journal: journal,
      session: subject.session, observation: observation, failed: configuration.failed)
    let stages = try Stages(
      from: source, through: filter(of: round, to: destination, by: lease), to: destination.sink, by: lease,
      expecting: subject.parent == nil ? subject.expected : 0,
      standing: stopReaders.map { StandingReaders(readers: $0, processCount: round.processes.count) },
      readTimeLimit: configuration.readTimeLimit, hashSeed: round.contents?.seed,
      rate: role.isLast ? nil : configuration.rateLimit, isTimed: observation != nil, progress: progress,
      observer: observer)
    if let began = round.devicesBegan {
      try await WriteProtectMode.waitForDevices(of: round.tree, since: began)
    }
    journal.reach(.reading)
    if !role.isLast { progress.enter(.copying) }
    let counts = try await stages.run()
    guard !Task.isCancelled else { throw .cancelled }
    journal.reach(.written)
    for process in round.processes {
      guard let error = process.error else { continue }
      configuration.logger.warning("process \(process.process.pid) has no images: \(error)")
    }
    if let times = await preparer.stopTimes { round.stop = times }
    let walked = source.walked
    round.areProbed = walked.processes.map(\.isProbed)
    var report = PreDumpReport(
      configuration: configuration, tries: role.tries, start: round,
      counts: RunCounts(
        stages: counts, walker: walked, reads: source.read, queueFull: await destination.queueFull),
      lease: lease, readers: stages.readers.count, isDirect: destination.isDirect,
      parent: subject.parent?.images?.path, began: began)
    // A core is nothing that CRIU builds on.
    if role.core == nil { try round.lookForDoubts(logger: configuration.logger) }
    try await observation.publishing { () async throws(SluiceError) in
      try await publish(report, round, counts, to: destination.sink, in: place, preparer, journal)
    }
    if let recopied = walked.recopyNextRound, !role.isLast {
      role.tracking?.roundIsComplete(
        in: configuration.imagesDirectory, of: round.processes, unsettled: recopied,
        walkedAt: counts.source.endedAt)
    }
    report.finish(at: sluice_monotonic_nanoseconds(), in: place)
    if role.isLast {
      report.predictedStop = await preparer.forecast
    } else if role.forecastsStop {
      terms.writeRate = report.writeRate ?? terms.writeRate
      let copied = round.processes.filter { !$0.hasFailed }.map(\.process)
      do throws(SluiceError) {
        report.predictedStop = try await preparer.forecastStop(
          of: copied, by: round.tracker, where: Set(copied.map(\.pid)), terms, by: lease.ring)
      } catch {
        // The round is complete, whatever comes after it.
        configuration.logger.warning(
          "the round is complete, but Sluice cannot predict how long a stop for the rest would be: \(error)")
      }
    }
    observation?.tell(report, round, counts, sends: subject.session != nil)
    return report
  }

  /// Makes the images valid, and only then the parent's again.
  private func publish(
    _ report: PreDumpReport, _ round: PreparedRound, _ counts: StageCounts, to sink: any PageSink,
    in place: ImagesPlace?, _ preparer: RoundPreparer, _ journal: RunJournal
  ) async throws(SluiceError) {
    progress.enter(.publishing)
    // What is to be left stopped runs again, too, if this takes too long, or is cancelled. It ends with this scope.
    async let _ = preparer.waitUntilOverdue(heedsCancellation: true)
    let tracked = try round.trackedProcesses()
    let failures = Dictionary(
      uniqueKeysWithValues: round.processes.compactMap { dumped in
        dumped.error.map { (dumped.owner, "\($0)") }
      })
    let manifest = RunManifest(
      entries: counts.sink.order.map {
        RunManifest.Entry(
          owner: $0, pagesWritten: counts.sink.owners[$0]?.pagesWritten ?? 0, failure: failures[$0])
      },
      pageSize: Int(report.pageSize),
      images: .dump(
        round.inventory, report.statistics, tracked, pid: configuration.pid))
    try await embedders { try await sink.commit(manifest) }
    journal.reach(.published)
    releaseParent(round, in: place, journal)
    if role.leavesStopped { try await preparer.leaveStopped() }
  }

  /// Notes in the parent that this run builds on it, and makes it valid again.
  private func releaseParent(_ round: PreparedRound, in place: ImagesPlace?, _ journal: RunJournal) {
    guard let parent = journal.claimed ?? round.base?.parent.images else { return }
    // What this round has made is valid all the same.
    let complete = "the images in \(configuration.imagesDirectory) are complete, but"
    do throws(ImagesError) {
      try parent.noteChild(at: configuration.imagesDirectory, expecting: place?.identity)
    } catch {
      // Without that note, only the missing inventory keeps others from building on images whose dirty pages are gone.
      let consequence =
        journal.claimed == nil
        ? "build nothing else on them"
        : "their inventory.img stays set aside, so that nothing else builds on them"
      configuration.logger.warning(
        "\(complete) the ones in \(parent.path) that they build on cannot be marked as such; \(consequence): \(error)"
      )
      return
    }
    guard let aside = journal.claimed else { return }
    do throws(ImagesError) {
      try aside.putBack()
    } catch {
      configuration.logger.warning(
        "\(complete) the inventory of those that they build on stays set aside; it can be renamed by hand: \(error)"
      )
    }
  }
}

extension PreDumpRun {
  /// What is known before anything is done to anybody.
  private struct Subject: Sendable {
    let tree: ProcessTree
    let first: NamespaceRoot?
    let trust: Trust
    let parent: RoundParent?
    let shares: [MemoryBudget.Share]
    /// The memory for a set of pages that are to be copied, in bytes.
    let dirtyBytes: Int
    /// The memory of the processes' own, in bytes.
    let expected: UInt64
    /// With the page server that the pages go to; nil where they go into a directory.
    let session: SendingSession?
  }

  private func lookAtSubject() throws(SluiceError) -> Subject {
    let root = try onTarget { () throws(TargetError) in try TargetProcess(pid: configuration.pid) }
    let first = try onTarget { () throws(TargetError) in try root.namespaceRoot() }
    let trust = Trust(users: first.map { [$0.user] } ?? [], everybody: configuration.trustsParents)
    let candidate = try ParentCandidate.open(for: root, configuration, role, trust: trust)
    let tree = try onTarget { () throws(TargetError) in try findTree(of: root, candidate?.images) }
    // Before anything is done to anybody: another way may be taken then.
    try onTarget { () throws(TargetError) in try HiddenMemory.check(tree.processes) }
    let expected = try onTarget { () throws(TargetError) in try tree.ownMemoryBytes() }
    let memory = DumpMemory(configuration, role, total: runtime.memoryBudget, ownMemory: expected)
    // What cannot be had with the least that a parent takes is refused before its chain is read.
    try memory.check(parents: 1)
    var images = candidate.flatMap { $0.isWhole(for: tree) ? $0.images : nil }
    let session = try connect(for: tree, &images)
    let parent = images.map { RoundParent.images($0) } ?? role.written
    return Subject(
      tree: tree, first: first, trust: trust, parent: parent,
      shares: memory.shares(parents: images?.depth ?? 1),
      dirtyBytes: memory.dirtyBytes, expected: expected, session: session)
  }

  /// Connects to the page server, if the pages go to one. Where that has no earlier images of a process that the parent has,
  /// the round builds on none.
  private func connect(
    for tree: ProcessTree, _ parent: inout ParentImages?
  ) throws(SluiceError) -> SendingSession? {
    guard let target = configuration.pageServer else { return nil }
    func object(_ process: TargetProcess) -> PageServerObject {
      .process(pid: UInt32(process.namespacePid))
    }
    var based: [PageServerObject] = []
    for process in tree.processes {
      guard let images = parent,
        try onImages({ () throws(ImagesError) in try images.has(pid: process.namespacePid) })
      else { continue }
      based.append(object(process))
    }
    let session = try SendingSession.open(
      target, first: object(tree.processes[0]), based: based, logger: configuration.logger)
    if let missing = session.missing {
      configuration.logger.warning(
        "copying everything: the page server \(target) has no earlier images of \(missing): start it with --prev-images-dir and the directory of the round before"
      )
      parent = nil
    }
    return session
  }

  /// The tree, and who would be frozen with it.
  private func findTree(of root: TargetProcess, _ parent: ParentImages?) throws(TargetError) -> ProcessTree {
    if role.core?.isAlone == true { return ProcessTree(alone: root) }
    let known = role.known.union(parent?.tracked?.identities ?? [])
    var tree = try ProcessTree(of: root, known: known)
    guard let cgroup = configuration.freezeCgroup else { return tree }
    let guests = try tree.lookAround(in: cgroup)
    if !guests.isEmpty, role.isFirst {
      configuration.logger.warning(
        "the cgroup \(cgroup) also holds processes that are no descendants of process \(configuration.pid): they are frozen with it, but not copied: \(guests.description)"
      )
    }
    return tree
  }
}

// MARK: - Where the pages go

extension PreDumpRun {
  /// Where the pages go, once there is an engine that writes them.
  private struct Destination: Sendable {
    let sink: any PageSink
    /// The same, where it is a directory of images.
    var images: ImagesDirectorySink?
    /// The same, where it is core files.
    var cores: CoreFileSink?
    var isDirect = false

    /// How long writing waited because as many writes were in flight as may be.
    var queueFull: StageWait {
      get async {
        if let cores { return await cores.queueFull }
        return await images?.queueFull ?? StageWait()
      }
    }
  }

  /// The directory for images, with the first process's files: what they can do is known before anything is done to a
  /// process. Nil where no images are made.
  ///
  /// CRIU restores the processes of a user namespace as its first user, who has to read the images then: they are given
  /// to that user, who may read all of that memory anyway.
  private func makeTarget(of subject: Subject) throws(SluiceError) -> ImagesTarget? {
    guard sink == nil, role.core == nil, configuration.io != .discard else { return nil }
    let target = try onImages { () throws(ImagesError) in
      try ImagesTarget(
        try UnfinishedImages.create(
          at: configuration.imagesDirectory, parent: subject.parent?.images,
          owner: subject.first.map(FileOwner.init)),
        first: .process(ProcessIdentity(subject.tree.processes[0])), pagesID: firstPagesID,
        pageSize: UInt64(sluice_page_size()),
        direct: configuration.io.isDirect,
        expecting: subject.parent == nil && keepsPages ? subject.expected : 0)
    }
    if configuration.io == .direct && !target.isDirect {
      throw SluiceError(
        .cannotCreate,
        "the filesystem of \(configuration.imagesDirectory) has no direct I/O (O_DIRECT): have the way to the disk chosen (io; --io auto)"
      )
    }
    return target
  }

  /// Whether pages are written into the images directory.
  private var keepsPages: Bool { configuration.pageServer?.keepsPages ?? true }

  private var firstPagesID: UInt32 {
    configuration.pageServer == nil ? ImageNames.firstPagesID : ImageNames.firstPagesIDOfSessions
  }

  /// Which directory the images are in, for whoever works on them when they are complete.
  private func imagesPlace(
    _ target: borrowing ImagesTarget?, trust: Trust
  ) throws(SluiceError) -> ImagesPlace? {
    // Optional chaining would consume it.
    switch target {
    case .some(let target):
      try onImages { () throws(ImagesError) in ImagesPlace(identity: try target.identity(), trust: trust) }
    case .none: nil
    }
  }

  private func limits(of target: borrowing ImagesTarget?) -> SinkLimits {
    var limits: SinkLimits
    switch target {
    case .some(let target): limits = target.limits
    case .none: limits = sink?.limits ?? role.core?.files.limits ?? NullSink().limits
    }
    // However fast the output is: while processes stand still, what is read waits in the buffers.
    if role.isLast { limits.isMemory = false }
    return limits
  }

  private func makeDestination(
    _ target: consuming sending ImagesTarget?, session: SendingSession?, by lease: RuntimeLease
  ) -> Destination {
    if let core = role.core {
      let cores = CoreFileSink(
        core.files, engine: lease.engine, queueDepth: configuration.queueDepth,
        pageSize: lease.ring.layout.pageSize, isFirst: role.written == nil, isLast: role.isLast)
      return Destination(sink: cores, cores: cores, isDirect: core.files.isDirect)
    }
    guard let target = target.take() else { return Destination(sink: sink ?? NullSink()) }
    let isDirect = target.isDirect
    let images = ImagesDirectorySink(
      target,
      options: ImagesDirectorySink.Options(
        queueDepth: configuration.queueDepth, pageSize: lease.ring.layout.pageSize,
        io: configuration.io, syncs: configuration.syncs,
        logger: configuration.logger,
        sentTo: keepsPages ? nil : configuration.pageServer.map { "\($0)" },
        firstPagesID: firstPagesID),
      engine: lease.engine)
    let sink: any PageSink = if let session { PageServerSink(session, beside: images) } else { images }
    return Destination(sink: sink, images: images, isDirect: isDirect)
  }

  /// What leaves pages to the parent that are as they were, where contents are compared.
  private func filter(
    of round: PreparedRound, to destination: Destination, by lease: RuntimeLease
  ) throws(SluiceError) -> ContentFilter? {
    guard let contents = round.contents, let images = destination.images else { return nil }
    return ContentFilter(
      contents, into: images, pageSize: lease.ring.layout.pageSize,
      executor: try lease.resources.threadForFilter())
  }
}

/// Sees to the processes while the stages run.
private struct RunObserver: StageObserver {
  let preparer: RoundPreparer
  let processes: [DumpedProcess]
  let leavesStopped: Bool
  let journal: RunJournal
  /// In which the sink may wait; nil where the pages go into a directory.
  let session: SendingSession?
  let observation: Observation?
  /// Is told of an error when the processes run again.
  let failed: @Sendable (SluiceError) -> Void

  func readingEnds() async throws(SluiceError) {
    try await preparer.readingEnds(processes)
    journal.reach(.runningAgain)
    guard let observation, !leavesStopped, let times = await preparer.stopTimes else { return }
    observation.tellStop(nanoseconds: times.total)
  }

  func failed(_ error: SluiceError) async {
    await preparer.resume()
    session?.connection.interrupt()
    failed(error)
  }

  func waitForFailure() async -> SluiceError? { await preparer.watchOver() }
}

extension FileOwner {
  init(_ first: NamespaceRoot) {
    self.init(user: first.user, group: first.group)
  }
}

extension PreDump.Configuration.PageStates {
  /// The same in the words of the scanner.
  var source: PageScanner.Source? {
    switch self {
    case .automatic: nil
    case .pagemapScan: .pagemapScan
    case .pagemap: .pagemap
    }
  }
}

extension PreDump.Configuration.Swapped {
  var pages: SwappedPages {
    switch self {
    case .read: .read
    case .skip: .skip
    }
  }
}
