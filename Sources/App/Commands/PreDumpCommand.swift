import ArgumentParser
import Logging
import Sluice

/// `sluice pre-dump`
struct PreDumpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pre-dump",
    abstract: "Copy the memory of a running process into an images directory.",
    discussion: """
      The process goes on running all the while; only to build on the images of an earlier run it is stopped for a \
      moment. Where the kernel keeps a soft-dirty bit it is cleared first, so that 'criu dump --track-mem \
      --prev-images-dir' later copies only what was written since.

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
      "Where the images go. It is made where there is none, and must hold no images yet.", valueName: "dir"),
    completion: .directory)
  var imagesDir: String

  @Option(
    help: ArgumentHelp(
      "Earlier images of the same processes: pages that nothing wrote since are left to them.",
      discussion: "A relative path begins at the images directory, as CRIU has it, or else where you are.",
      valueName: "dir"),
    completion: .directory)
  var prevImagesDir: String?

  @Option(
    help: ArgumentHelp(
      "What tells which pages were written: auto, soft-dirty, write-protect, both, content or none.",
      discussion: """
        With write-protect (Linux 6.7), rounds do not stop the processes; it ends with --rounds, and neither CRIU nor \
        later runs can build on the images. Both have soft-dirty beside it, on which CRIU can build. Content needs nothing \
        of the kernel: every round reads all pages and compares them, by their hashes, with the last one's; later runs \
        can build on the images, CRIU cannot. Auto takes the best that there is.
        """,
      valueName: "tracker"))
  var tracker = TrackerOption.auto

  @Option(
    name: [.customShort("W"), .long],
    help: ArgumentHelp("Where stats-dump goes as well, as CRIU's own does.", valueName: "dir"))
  var workDir: String?

  @Flag(help: "Give back the space of pages in older images that these have anew, as 'sluice dedup' does.")
  var autoDedup = false

  @OptionGroup
  var trust: TrustOptions

  @Flag(help: ArgumentHelp("Print the figures, which is done anyway.", visibility: .hidden))
  var displayStats = false

  @Option(
    help: ArgumentHelp(
      "Where a stop is needed, freeze this cgroup (version 2) instead of stopping each thread.",
      discussion:
        "auto finds the one that holds the processes and nobody else; where there is none, threads are stopped.",
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
      "The memory that may be used for the copying, such as 16M or 1GiB.",
      discussion: """
        The program itself takes some 12 MiB more. Images on a tmpfs are memory as well, which the budget \
        does not count.
        """,
      valueName: "size"))
  var memoryBudget = ByteCount(bytes: 64 << 20)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How many threads read the process' memory while it runs.",
      discussion: """
        One reads more than a disk takes; more help where the images go to memory or a fast array. On a machine of several \
        nodes (NUMA) it is so many on each; 0=2,1=4 means two on node 0 and four on node 1, and none on others, whose memory \
        the nearest of these read.
        """,
      valueName: "n"))
  var readers = ReadersOption.each(1)

  @Option(
    help: ArgumentHelp(
      "On a machine of several nodes of memory and processors (NUMA): auto or off.",
      discussion: """
        Auto has readers stay on the processors of each node, and copy what that node holds into buffers that it holds, too. \
        With off, the kernel chooses. With one node there is nothing to choose.
        """,
      valueName: "what"))
  var numa = NUMAOption.auto

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How many threads read while --final stops the processes: auto (as many as there are processors) or a number.",
      valueName: "n"))
  var stopReaders = StopReadersOption.auto

  @Option(
    parsing: .unconditional, help: ArgumentHelp("How many writes are in flight at most.", valueName: "n"))
  var queueDepth = 8

  @OptionGroup
  var rate: RateOptions

  @Option(
    help: ArgumentHelp(
      "What becomes of pages in swap: read or skip.",
      discussion: """
        Reading brings them back into the memory of the process. Without them 'criu dump' refuses the images, \
        unless the process has written to all of them by then.
        """,
      valueName: "what"))
  var swapped = SwappedOption.read

  @Option(
    help: ArgumentHelp(
      """
      The way to the disk: auto, direct (past the page cache), buffered (through it, and out of it again) or cached (they \
      stay in it, and nobody waits for the disk: faster where memory is to spare, and lost where the machine goes down).
      """, valueName: "way"))
  var io = IOOption.auto

  @Flag(
    inversion: .prefixedNo,
    help: ArgumentHelp(
      "Wait until the images are on the disk before they are declared valid.",
      discussion: "Without that, images that look finished may be broken after the machine has crashed."))
  var sync = true

  @Option(
    help: ArgumentHelp(
      "Show progress on standard error: auto (a bar on a terminal), json (a line ten times a second) or none.",
      valueName: "style"))
  var progress = ProgressOption.auto

  @Flag(help: "Print the figures as one JSON object on standard output; with --rounds, one for each round.")
  var json = false

  @Flag(name: [.short, .long], help: "Tell what is being done; given twice, tell more.")
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
      throw ValidationError("--readers with the numbers of nodes takes --numa auto")
    }
    if let count = stopReaders.count {
      try Self.check(count, "--stop-readers", PreDump.Configuration.possibleReaders)
    }
    try Self.check(queueDepth, "--queue-depth", PreDump.Configuration.possibleQueueDepths)
    // Of no directory at all a full copy would be made, which is not what was meant.
    guard prevImagesDir?.isEmpty != true else {
      throw ValidationError("--prev-images-dir takes a directory, and not an empty name")
    }
  }

  private static func check(_ number: Int, _ option: String, _ possible: ClosedRange<Int>) throws {
    guard possible.contains(number) else {
      throw ValidationError("\(option) takes a number from \(possible.lowerBound) to \(possible.upperBound)")
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
    let end = try await runOptions.run(logsIn: workDir ?? imagesDir) { () async throws(SluiceError) in
      tell(leftOut)
      do throws(SluiceError) { return End.status(try await runRounds()) } catch {
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

  /// - Returns: the exit status.
  private func runRounds() async throws(SluiceError) -> Int32 {
    if let command = rounds.then, pageServer.pageServer, !pageServer.keepPages,
      !command.contains("page-server")
    {
      Terminal.message(
        "sluice: warning: the pages of the rounds go to the page server, and the command of --then does not name one: what it dumps here cannot be restored without them (criu dump --page-server, or --keep-pages)"
      )
    }
    let (limit, watch) = rate.start()
    defer { watch?.cancel() }
    return try await runRounds(configuration(limitedBy: limit))
  }

  private func runRounds(_ configuration: PreDump.Configuration) async throws(SluiceError) -> Int32 {
    guard let policy = rounds.policy else {
      let report = try await run(PreDump(configuration))
      return try await finish(report) && show(PreDumpOutput(report)) ? 0 : Self.notWritten
    }
    do {
      return try await withPreDumpRounds(
        configuration, policy: policy, lastRound: self.rounds.lastRound, precedesDump: self.rounds.then != nil
      ) { rounds in
        let display = show(rounds.progress)
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
    do throws(SluiceError) {
      var reports = rounds.makeAsyncIterator()
      while let report = try await reports.next() {
        completed += 1
        // What ended the rounds is no end yet where one more was asked for.
        let (end, reasonForLast) = rounds.isOver ? (rounds.endReason, nil) : (nil, rounds.endReason)
        let output = PreDumpOutput(report, round: rounds.number, end: end)
        guard try await finish(report), show(output, reasonForLast: reasonForLast) else {
          return Self.notWritten
        }
      }
    } catch {
      if completed > 0 {
        let rounds = completed == 1 ? "1 round was" : "\(completed) rounds were"
        Terminal.message("sluice: \(rounds) completed before, and what they made stays in \(imagesDir)")
        // What ended the rounds is what is reported, not that these cannot be looked at.
        // In a task of its own, since ours may be cancelled.
        let summary = Task { [imagesDir, completed] in
          try? await ImagesSummary(path: "\(imagesDir)/\(completed)")
        }
        if let newest = await summary.value, newest.isSetAside {
          Terminal.message(
            "sluice: those in \(imagesDir)/\(completed) are complete and set aside: no further round can build on them, and 'sluice flatten' can"
          )
        }
      }
      throw error
    }
    guard let command = self.rounds.then else { return 0 }
    return try await run(command, after: rounds)
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
      if status != 0 { Terminal.message("sluice: the command of --then ended with status \(status)") }
      return status
    case .failure(let error):
      Terminal.message("sluice: \(error.message)")
      return 71
    }
  }

  /// Shows the progress, from now on until it ends.
  private func show(_ progress: ProgressFeed) -> Task<Void, Never> {
    let style = self.progress.style
    return Task { await ProgressDisplay.show(progress, as: style) }
  }

  private func run(_ preDump: consuming PreDump) async throws(SluiceError) -> PreDumpReport {
    let display = show(preDump.progress)
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
        "sluice: warning: the images in \(report.imagesDirectory) are complete, but no space of older ones is given back (--auto-dedup): \(error)"
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
      Terminal.message("sluice: the images are valid, but \(error)")
      return false
    }
  }

  /// - Parameter reasonForLast: why the next round is the last one; nil where it is not.
  private func show(_ output: PreDumpOutput, reasonForLast: RoundPolicy.End? = nil) -> Bool {
    Terminal.message(output.round == nil ? output.summary : output.roundLine(reasonForLast: reasonForLast))
    if let server = pageServer.target, !server.keepsPages, (output.round ?? 1) == 1 {
      Terminal.message(
        "sluice: the pages are at the page server \(server) alone: make the final dump go there, too (criu dump --page-server), or keep them here as well (--keep-pages)"
      )
    }
    guard json, !Terminal.json(output) else { return true }
    Terminal.message("sluice: writing to standard output failed")
    return false
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
