import ArgumentParser
import Glibc
import Logging
import Sluice

/// `sluice pre-dump`
struct PreDumpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pre-dump",
    abstract: "Copy the memory of a running process into an images directory.",
    discussion: """
      The process keeps running; it is stopped only for a moment, and only to build on the images of an earlier run. If \
      the kernel keeps soft-dirty bits, Sluice clears them first, so that 'criu dump --track-mem --prev-images-dir' later \
      copies only what was written since.

      A pre-dump holds memory and nothing else. It makes the final 'criu dump' short; a process cannot be restored without \
      that dump.

      For example: sluice pre-dump -t 4711 -D images/1
      """)

  @Option(
    name: [.customShort("t"), .customLong("tree")],
    parsing: .unconditional,
    help: ArgumentHelp("The process to copy, with all of its descendants.", valueName: "pid"))
  var pid: Int32

  @Option(
    name: [.customShort("D"), .long],
    help: ArgumentHelp(
      "Where the images go. It is made if it does not exist, and must hold no images yet.", valueName: "dir"),
    completion: .directory)
  var imagesDir: String

  @Option(
    help: ArgumentHelp(
      "Earlier images of the same processes: unchanged pages are taken from them.",
      discussion:
        "A relative path is taken from the images directory (like CRIU); if nothing is there, from the current directory.",
      valueName: "dir"),
    completion: .directory)
  var prevImagesDir: String?

  @Option(
    help: ArgumentHelp(
      "How written pages are found: auto, soft-dirty, write-protect, both, content or none.",
      discussion: """
        With write-protect (Linux 6.7), rounds do not stop the processes; it only lasts for the run, so neither CRIU nor \
        later runs can build on the images. 'both' also clears the soft-dirty bits, so that CRIU can build on the images. \
        With content, every round reads all pages and compares their hashes with those of the last round: this needs \
        nothing of the kernel, and later runs can build on the images, but CRIU cannot. auto takes the best one that \
        works here.
        """,
      valueName: "tracker"))
  var tracker = TrackerOption.auto

  @Option(
    name: [.customShort("W"), .long],
    help: ArgumentHelp("Also write stats-dump here, like CRIU.", valueName: "dir"))
  var workDir: String?

  @Flag(help: "Free the space of pages in older images that these images replace, as 'sluice dedup' does.")
  var autoDedup = false

  @OptionGroup
  var trust: TrustOptions

  @Flag(help: ArgumentHelp("Print the figures (always done).", visibility: .hidden))
  var displayStats = false

  @Option(
    help: ArgumentHelp(
      "If a stop is needed, freeze this cgroup (version 2) instead of stopping each thread.",
      discussion:
        "auto finds the cgroup that holds these processes and no other; if there is none, threads are stopped.",
      valueName: "dir|auto"))
  var freezeCgroup: String?

  @OptionGroup
  var stopOptions: StopOptions

  @OptionGroup
  var rounds: RoundOptions

  @OptionGroup
  var pageServer: PageServerOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The memory that copying may use, such as 16M or 1.5Gi. Units are powers of 1024.",
      discussion: """
        The program itself takes about 14 MiB more. Images on a tmpfs take memory as well, which the budget does not count.
        """,
      valueName: "size"))
  var memoryBudget = ByteCount(bytes: 64 << 20)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How many threads read the process' memory while it runs.",
      discussion: """
        One is faster than a disk. Use more for images in memory or on a fast array. On a machine with several nodes (NUMA) \
        this is the number for each node; 0=2,1=4 means two on node 0, four on node 1, and none on other nodes, whose memory \
        is read by the nearest of these.
        """,
      valueName: "n"))
  var readers = ReadersOption.each(1)

  @Option(
    help: ArgumentHelp(
      "Where threads and buffers are placed on a machine with several nodes of memory and processors (NUMA): auto or off.",
      discussion: """
        With auto, readers stay on the processors of a node, and copy that node's memory into buffers on the same node. With \
        off, the kernel chooses.
        """,
      valueName: "what"))
  var numa = NUMAOption.auto

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How many threads read while --final stops the processes: auto (one for each processor) or a number.",
      valueName: "n"))
  var stopReaders = StopReadersOption.auto

  @Option(
    parsing: .unconditional, help: ArgumentHelp("The most writes in flight at once.", valueName: "n"))
  var queueDepth = 8

  @OptionGroup
  var rate: RateOptions

  @Option(
    help: ArgumentHelp(
      "What to do with pages in swap: read or skip.",
      discussion: """
        Reading brings them back into the memory of the process. If they are skipped, 'criu dump' refuses the images, unless \
        the process has written to all of these pages by then.
        """,
      valueName: "what"))
  var swapped = SwappedOption.read

  @Option(
    help: ArgumentHelp(
      """
      The way to the disk: auto, direct (past the page cache), buffered (through it, and out of it again) or cached (images \
      stay in it, and nobody waits for the disk: faster if there is memory to spare, lost if the machine crashes).
      """, valueName: "way"))
  var io = IOOption.auto

  @Flag(
    inversion: .prefixedNo,
    help: ArgumentHelp(
      "Whether to wait until the images are on the disk before they become valid.",
      discussion: "With --no-sync, images that look complete may be broken after the machine has crashed."))
  var sync = true

  @Option(
    help: ArgumentHelp(
      "Show progress on standard error: auto (a bar on a terminal), json (a line ten times a second) or none.",
      valueName: "style"))
  var progress = ProgressOption.auto

  @Option(
    help: ArgumentHelp(
      "With --progress json, write the lines to this file or pipe, such as /dev/fd/3, instead of standard error.",
      valueName: "file"),
    completion: .file())
  var progressFile: String?

  @Flag(help: "Print the figures as one JSON object on standard output; with --rounds, one for each round.")
  var json = false

  @Flag(name: [.short, .long], help: "Say what is being done; given twice, say more.")
  var verbose: Int

  @OptionGroup
  var runOptions: RunOptions

  @Option(help: ArgumentHelp("How page states are found: auto, scan or pagemap.", visibility: .hidden))
  var pageStates = PageStatesOption.auto

  @Option(help: ArgumentHelp("What does the writes: auto or pwrite.", visibility: .hidden))
  var writeEngine = WriteEngineOption.auto

  @Flag(inversion: .prefixedNo, help: ArgumentHelp("Have the kernel pin buffers once.", visibility: .hidden))
  var registerBuffers = true

  func validate() throws {
    try Self.check(readers.total, "--readers", PreDump.Configuration.possibleReaders)
    if case .onNodes = readers, numa == .off {
      throw ValidationError("--readers with numbers of nodes needs --numa auto")
    }
    if let count = stopReaders.count {
      try Self.check(count, "--stop-readers", PreDump.Configuration.possibleReaders)
    }
    try Self.check(queueDepth, "--queue-depth", PreDump.Configuration.possibleQueueDepths)
    // Of no directory at all a full copy would be made, which is not what was meant.
    guard prevImagesDir?.isEmpty != true else {
      throw ValidationError("--prev-images-dir must name a directory: the name is empty")
    }
    guard progressFile == nil || progress == .json else {
      throw ValidationError("--progress-file needs --progress json")
    }
  }

  private static func check(_ number: Int, _ option: String, _ possible: ClosedRange<Int>) throws {
    guard possible.contains(number) else {
      throw ValidationError("\(option) must be from \(possible.lowerBound) to \(possible.upperBound)")
    }
  }

  func run() async throws {
    try await run(tellingOf: [])
  }
}

extension PreDumpCommand {
  private enum End: Sendable {
    case status(Int32)
    /// It was found out, before anything was done, that only CRIU can do it.
    case needsCriu(SluiceError)
  }

  /// - Parameter leftOut: lines about options that mean nothing here.
  func run(tellingOf leftOut: [String]) async throws {
    try checkPlaces()
    let progress = try progressDescriptor()
    let end = try await runOptions.run(logsIn: workDir ?? imagesDir) { () async throws(SluiceError) in
      tell(leftOut)
      do throws(SluiceError) { return End.status(try await runRounds(progress)) } catch {
        guard CriuName.isOurs, error.code == .hiddenMemory else { throw error }
        return End.needsCriu(error)
      }
    }
    switch end {
    case .status(0): break
    case .status(let status): throw ExitCode(status)
    case .needsCriu(let error): throw NeedsCriu(reason: error.message)
    }
  }

  /// What would fail in the end is tried in the beginning.
  private func checkPlaces() throws(ExitCode) {
    if let workDir {
      do throws(SluiceError) { _ = try NamedDirectory(path: workDir) } catch {
        throw CommandFailure.cannotCreate("the work directory (--work-dir): \(error)")
      }
    }
    if let freezeCgroup, freezeCgroup != "auto", Self.isMissing(freezeCgroup) {
      throw CommandFailure.isMissing("the cgroup \(freezeCgroup) (--freeze-cgroup)")
    }
    guard let prevImagesDir else { return }
    let parent = ParentPath.resolve(prevImagesDir, imagesDirectory: imagesDir)
    if let rounds = RoundsDirectory(path: parent) {
      throw CommandFailure.hasRounds(rounds)
    }
    if Self.isMissing(parent) {
      throw CommandFailure.isMissing("the directory \(parent) of earlier images (--prev-images-dir)")
    }
  }

  private static func isMissing(_ path: String) -> Bool {
    unsafe access(path, F_OK) != 0 && errno == ENOENT
  }

  /// Where the lines of `--progress json` go.
  private func progressDescriptor() throws(ExitCode) -> Int32 {
    guard let progressFile else { return STDERR_FILENO }
    let file = unsafe open(progressFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0o644)
    guard file >= 0 else {
      throw CommandFailure.cannotCreate("opening the progress file \(progressFile)", errno: errno)
    }
    return file
  }

  /// Tells those who ask for everything which options mean nothing here.
  func tell(_ leftOut: [String]) {
    let logger = StandardErrorLog.logger(verbosity: verbose)
    for line in leftOut { logger.debug("\(line)") }
  }

  /// Makes one pre-dump for an engine, which prints nothing but messages.
  ///
  /// - Returns: whether the figures could be written where they were asked for.
  func runOnce() async throws(SluiceError) -> Bool {
    let report = try await PreDump(configuration(limitedBy: nil)).run()
    Terminal.message(PreDumpOutput(report).summary)
    return try await finish(report)
  }

  /// The exit status when figures cannot be written where they were asked for.
  private static let notWritten: Int32 = 74

  /// - Parameter descriptor: where JSON lines about the progress go.
  /// - Returns: the exit status.
  private func runRounds(_ descriptor: Int32) async throws(SluiceError) -> Int32 {
    guard try await sayWhetherCriuCanBuild() else { return ExitCode(.system).rawValue }
    if let command = rounds.then, pageServer.pageServer, !pageServer.keepPages,
      !command.contains("page-server")
    {
      Terminal.message(
        "sluice: warning: the pages of the rounds go to the page server, but the command of --then names none: its dump cannot be restored without these pages. Use 'criu dump --page-server', or --keep-pages"
      )
    }
    let (limit, watch) = rate.start()
    defer { watch?.cancel() }
    return try await runRounds(configuration(limitedBy: limit), descriptor)
  }

  /// Rounds take long, and who means to dump upon them wants to know before the first byte.
  ///
  /// - Returns: whether there is any use in them.
  private func sayWhetherCriuCanBuild() async throws(SluiceError) -> Bool {
    guard rounds.policy != nil, io != .discard, try await !Capabilities.keepsSoftDirtyBits() else {
      return true
    }
    let reason = "this kernel keeps no soft-dirty bits (CONFIG_MEM_SOFT_DIRTY)"
    if rounds.buildsOnRoundsByCriu {
      Terminal.message(
        "sluice: 'criu dump' cannot build on the rounds, as --then would have it: \(reason). Use --final instead of --then, or another kernel",
        level: .error)
      return false
    }
    if !rounds.final { Terminal.message("sluice: note: 'criu dump' cannot build on these rounds: \(reason)") }
    return true
  }

  private func runRounds(
    _ configuration: PreDump.Configuration, _ descriptor: Int32
  ) async throws(SluiceError) -> Int32 {
    guard let policy = rounds.policy else {
      let report = try await run(PreDump(configuration), descriptor)
      guard try await finish(report) else { return Self.notWritten }
      return show(PreDumpOutput(report))
    }
    do {
      return try await withPreDumpRounds(
        configuration, policy: policy, lastRound: self.rounds.lastRound, precedesDump: self.rounds.then != nil
      ) { rounds in
        let display = show(rounds.progress, descriptor)
        let result: Result<Int32, SluiceError>
        do throws(SluiceError) { result = .success(try await run(rounds)) } catch { result = .failure(error) }
        display.cancel()
        await display.value
        return try result.get()
      }
    } catch {
      throw SluiceError(of: error)
    }
  }

  /// - Returns: the exit status.
  private func run(_ rounds: PreDumpRounds) async throws(SluiceError) -> Int32 {
    var completed = 0
    var newest: PreDumpReport?
    do throws(SluiceError) {
      var reports = rounds.makeAsyncIterator()
      while let report = try await reports.next() {
        completed += 1
        // What ended the rounds is no end yet where one more was asked for.
        let (end, reasonForLast) = rounds.isOver ? (rounds.endReason, nil) : (nil, rounds.endReason)
        let output = PreDumpOutput(report, round: rounds.number, end: end)
        guard try await finish(report) else { return Self.notWritten }
        let status = show(output, reasonForLast: reasonForLast)
        guard status == 0 else { return status }
        newest = report
      }
    } catch {
      if completed > 0 {
        let rounds = completed == 1 ? "round 1 is" : "rounds 1 to \(completed) are"
        Terminal.message("sluice: \(rounds) complete and kept in \(imagesDir)")
        // What ended the rounds is what is reported, not that these cannot be looked at.
        // In a task of its own, since ours may be cancelled.
        let summary = Task { [imagesDir, completed] in
          try? await ImagesSummary(path: "\(imagesDir)/\(completed)")
        }
        if let newest = await summary.value, newest.isSetAside {
          Terminal.message(
            "sluice: \(imagesDir)/\(completed) is set aside, since the round on top of it was interrupted: no further round can build on it, but 'sluice flatten' works"
          )
        }
      }
      throw error
    }
    if let newest { tellEnd(newest) }
    guard let command = self.rounds.then else { return 0 }
    return try await run(command, after: rounds)
  }

  /// Where to go on from here.
  private func tellEnd(_ report: PreDumpReport) {
    if report.imagesDirectory != imagesDir {
      Terminal.message("sluice: newest images: \(report.imagesDirectory)")
    }
    guard rounds.leaveStopped else { return }
    let cgroup = freezeCgroup.flatMap { $0 == "auto" ? nil : $0 }
    let pids = report.processes.map { "\($0.pid)" }.joined(separator: " ")
    let command =
      cgroup.map { "'echo 0 > \($0)/cgroup.freeze'" }
      ?? (freezeCgroup == nil
        ? "'kill -CONT \(pids)'"
        : "'kill -CONT \(pids)', or 0 written into the cgroup.freeze of the cgroup that was frozen")
    Terminal.message(
      "sluice: \(report.processes.count == 1 ? "the process is" : "the processes are") still stopped (--leave-stopped); to resume: \(command)"
    )
  }

  /// Has the final dump made, while the rounds still track what is written.
  private func run(_ command: String, after rounds: PreDumpRounds) async throws(SluiceError) -> Int32 {
    try await rounds.prepareForDump()
    let command = FinalCommand(text: command, pid: pid, lastRound: rounds.number, directory: imagesDir)
    let result: Result<Int32, FinalCommand.Failed>
    do throws(FinalCommand.Failed) { result = .success(try await command.run()) } catch {
      result = .failure(error)
    }
    guard !Task.isCancelled else { throw .cancelled }
    switch result {
    case .success(let status):
      if status != 0 {
        Terminal.message("sluice: the command of --then ended with status \(status)", level: .error)
      }
      return status
    case .failure(let error):
      Terminal.message("sluice: \(error.message)", level: .error)
      return 71
    }
  }

  /// Shows the progress, from now on until it ends.
  private func show(_ progress: ProgressFeed, _ descriptor: Int32) -> Task<Void, Never> {
    let style = self.progress.style(writingJSONTo: descriptor)
    return Task { await ProgressDisplay.show(progress, as: style) }
  }

  private func run(
    _ preDump: consuming PreDump, _ descriptor: Int32
  ) async throws(SluiceError) -> PreDumpReport {
    let display = show(preDump.progress, descriptor)
    let result: Result<PreDumpReport, SluiceError>
    do throws(SluiceError) { result = .success(try await preDump.run()) } catch { result = .failure(error) }
    // What is shown ends with the run; messages come after it.
    await display.value
    return try result.get()
  }

  /// Gives back what the images have anew. They are complete, whatever becomes of that.
  private func dedup(below report: PreDumpReport) async {
    do throws(SluiceError) {
      var dedup = DedupImages(of: report)
      dedup.trustsParents = trust.trustParent
      _ = try await dedup.run()
    } catch {
      // What the run was cancelled in is told where it ends.
      guard error.code != .cancelled else { return }
      Terminal.message(
        "sluice: warning: the images in \(report.imagesDirectory) are complete, but no space of older images is freed (--auto-dedup): \(error)"
      )
    }
  }

  /// What is to be done with the images of a round, when they are complete.
  ///
  /// - Returns: whether the figures could be written where they were asked for.
  private func finish(_ report: PreDumpReport) async throws(SluiceError) -> Bool {
    if autoDedup, report.parentDirectory != nil { await dedup(below: report) }
    guard let workDir else { return true }
    do throws(SluiceError) {
      try await report.copyStatistics(to: workDir)
      return true
    } catch {
      Terminal.message("sluice: the images are valid, but \(error)", level: .error)
      return false
    }
  }

  /// - Parameter reasonForLast: why the next round is the last one; nil where it is not.
  /// - Returns: the exit status if it cannot be written, else 0.
  private func show(_ output: PreDumpOutput, reasonForLast: RoundPolicy.End? = nil) -> Int32 {
    Terminal.message(output.round == nil ? output.summary : output.roundLine(reasonForLast: reasonForLast))
    if output.round == 1 { Terminal.message("sluice: " + output.trackerLine) }
    if let server = pageServer.target, !server.keepsPages, (output.round ?? 1) == 1 {
      Terminal.message(
        "sluice: only the page server \(server) has the pages: make the final dump go there, too (criu dump --page-server), or keep the pages here as well (--keep-pages)"
      )
    }
    guard json, !Terminal.json(output) else { return 0 }
    return Terminal.outputFailed()
  }

  private func configuration(limitedBy rateLimit: RateLimit?) -> PreDump.Configuration {
    var configuration = PreDump.Configuration(pid: pid, imagesDirectory: imagesDir)
    configuration.parentDirectory = prevImagesDir.map {
      ParentPath.resolve($0, imagesDirectory: imagesDir)
    }
    configuration.pageServer = pageServer.target
    configuration.trustsParents = trust.trustParent
    configuration.tracker = tracker.value
    configuration.findsFreezeCgroup = freezeCgroup == "auto"
    configuration.freezeCgroup = freezeCgroup == "auto" ? nil : freezeCgroup
    configuration.stopTimeLimit = stopOptions.limit
    configuration.memoryBudget = memoryBudget.bytes
    configuration.rateLimit = rateLimit
    switch readers {
    case .each(let number): configuration.readers = number
    case .onNodes(let counts): configuration.readersOnNodes = counts
    }
    configuration.numa = numa.value
    configuration.stopReaders = stopReaders.count
    configuration.queueDepth = queueDepth
    configuration.io = io.value
    configuration.syncs = sync
    configuration.pageStates = pageStates.value
    configuration.swapped = swapped.value
    configuration.writeEngine = writeEngine.value
    configuration.registersBuffers = registerBuffers
    configuration.logger = StandardErrorLog.logger(verbosity: verbose)
    return configuration
  }
}
