internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// One run that writes cores: rounds while the processes run, then the one for which they stand still.
struct CoreRun: Sendable {
  private let configuration: CoreDump.Configuration
  private let runtime: SluiceRuntime
  private let progress: ProgressFeed
  private let roundEnded: @Sendable (Int, PreDumpReport) -> Void
  /// As it is told to the observer; nil where there is none.
  private let observation: Observation?
  private var logger: Logger { configuration.copying.logger }

  init(
    _ configuration: CoreDump.Configuration, in runtime: SluiceRuntime, _ progress: ProgressFeed,
    _ roundEnded: @escaping @Sendable (Int, PreDumpReport) -> Void
  ) {
    self.configuration = configuration
    self.runtime = runtime
    self.progress = progress
    self.roundEnded = roundEnded
    observation = Observation(.run, of: configuration.copying.pid, by: configuration.copying.observer)
  }

  func run() async throws(SluiceError) -> CoreReport {
    try await observation.during { () async throws(SluiceError) in try await runObserved() }
  }

  private func runObserved() async throws(SluiceError) -> CoreReport {
    let began = sluice_monotonic_nanoseconds()
    let (root, core) = try await runtime.coordinate { () async throws(SluiceError) in try prepare() }
    var report = CoreReport()
    let tracking = WriteTracking()
    let rounds = try await copy(root, core, tracking)
    report.rounds = rounds
    try await runtime.coordinate { () async throws(SluiceError) in
      // Before anything is written, so that the processes are as they were.
      tracking.giveUp(othersTrack: false)
    }
    try await observation.publishing { () async throws(SluiceError) in
      for process in rounds.last?.processes ?? [] where process.error == nil {
        guard let made = try await finish(process, core) else { continue }
        report.cores.append(made)
      }
    }
    guard !report.cores.isEmpty else {
      throw SluiceError(
        .targetGone, "process \(root.pid) ended before its threads were read: there is no core")
    }
    report.duration = .nanoseconds(counted: sluice_monotonic_nanoseconds() - began)
    return report
  }

  /// Makes sure that what is asked for can be meant, and makes the first file.
  private func prepare() throws(SluiceError) -> (TargetProcess, CoreRound) {
    let name = CoreName(template: configuration.path)
    guard !configuration.includesDescendants || name.tellsProcessesApart else {
      throw SluiceError(
        .invalidArgument, "each process needs a core file of its own: put {pid} into the file's name")
    }
    guard configuration.stream == nil || !configuration.includesDescendants else {
      throw SluiceError(.invalidArgument, "several cores cannot go into one stream: name files")
    }
    guard configuration.policy.rounds >= 0 else {
      throw SluiceError(
        .invalidArgument, "the number of rounds must be at least 0, not \(configuration.policy.rounds)")
    }
    var policy = configuration.policy
    policy.rounds = max(policy.rounds, 1)
    try policy.check()
    try configuration.copying.check(hasSink: true)
    let root = try onTarget { () throws(TargetError) in try TargetProcess(pid: configuration.copying.pid) }
    guard try onTarget({ () throws(TargetError) in try root.isOf64Bits() }) else {
      throw SluiceError(
        .invalidArgument,
        "process \(root.pid) is a 32-bit program, and Sluice makes no cores of those: use gcore")
    }
    let files = try CoreFiles(
      name, first: root, replacing: configuration.replacesFiles,
      direct: configuration.copying.io.isDirect, isExact: configuration.extent != .all)
    let core = CoreRound(
      files, isAlone: !configuration.includesDescendants, filter: configuration.filter,
      extent: configuration.extent, namesPidsInside: configuration.namesPidsInside,
      logger: logger)
    try onTarget { () throws(TargetError) in try core.learnDetails(of: [root]) }
    return (root, core)
  }

  /// The tracker by which rounds know what was written; nil where there is none, and one stop has to do.
  private func tracker() throws(SluiceError) -> PreDump.Configuration.Tracker? {
    if case .yes = KernelSupport.asynchronousWriteProtect(), case .yes = KernelSupport.pagemapScan() {
      return .writeProtect
    }
    return try onTarget { () throws(TargetError) in try SoftDirty.isSupported() } ? .softDirty : nil
  }

  private func copy(
    _ root: TargetProcess, _ core: CoreRound, _ tracking: WriteTracking
  ) async throws(SluiceError) -> [PreDumpReport] {
    let makesRounds = configuration.policy.rounds > 0 && configuration.extent != .stacks
    let tracker = makesRounds ? try tracker() : nil
    guard let tracker else {
      if makesRounds { tellSingleStop("nothing tells what the processes write") }
      return [try await last(after: [], core, nil, tracking)]
    }
    do throws(SluiceError) {
      return try await rounds(by: tracker, core, tracking)
    } catch {
      guard error.code == .notTrackable else { throw error }
      tellSingleStop("\(error)")
      tracking.giveUp(othersTrack: false)
      return [try await last(after: [], core, nil, tracking)]
    }
  }

  private func tellSingleStop(_ reason: String) {
    logger.warning("the core is made in one stop, without rounds before it: \(reason)")
  }

  private func rounds(
    by tracker: PreDump.Configuration.Tracker, _ core: CoreRound, _ tracking: WriteTracking
  ) async throws(SluiceError) -> [PreDumpReport] {
    let began = ContinuousClock.now
    let claims = SoftDirtyClaims()
    var reports: [PreDumpReport] = []
    var previous: RoundPolicy.Figures?
    while true {
      var role = RoundRole(tracking: tracking, claims: claims, number: reports.count + 1)
      role.forecastsStop = configuration.policy.maxStop != nil
      let report = try await round(role, after: reports, core, tracker)
      reports.append(report)
      roundEnded(reports.count, report)
      let figures = RoundPolicy.Figures(
        pagesWritten: report.pagesWritten, pagesSkippedParent: report.pagesSkippedParent,
        duration: report.duration, elapsed: began.duration(to: .now), predictedStop: report.predictedStop)
      switch configuration.policy.decide(number: reports.count, last: figures, previous: previous) {
      case .end(let end):
        try checkStopFits(report, end, after: reports.count)
        reports.append(try await last(after: reports, core, tracker, tracking, claims))
        return reports
      case .goOn(let pause):
        do { try await Task.sleep(for: pause) } catch { throw SluiceError.cancelled }
      }
      previous = figures
    }
  }

  private func checkStopFits(
    _ report: PreDumpReport, _ end: RoundPolicy.End, after rounds: Int
  ) throws(SluiceError) {
    guard configuration.policy.ifNotConverging == .fail, let limit = configuration.policy.maxStop,
      end != .stopFits
    else { return }
    throw SluiceError(
      notConvergingAfter: rounds, stop: report.predictedStop, limit: limit,
      isOutOfRounds: end != .noConvergence)
  }

  private func last(
    after reports: [PreDumpReport], _ core: CoreRound, _ tracker: PreDump.Configuration.Tracker?,
    _ tracking: WriteTracking, _ claims: SoftDirtyClaims = SoftDirtyClaims()
  ) async throws(SluiceError) -> PreDumpReport {
    var role = RoundRole(
      tracking: tracker == nil ? nil : tracking, claims: claims, number: reports.count + 1)
    role.isLast = true
    role.forecastsStop = reports.isEmpty || configuration.policy.maxStop != nil
    if reports.isEmpty, configuration.policy.maxStop != nil { role.stopLimit = configuration.policy.maxStop }
    role.writeRate = reports.compactMap(\.writeRate).last
    if !reports.isEmpty {
      // What the process wants of its memory in a core may have changed since the rounds began.
      let pids = reports[reports.count - 1].processes.map(\.pid)
      try await runtime.coordinate { () async throws(SluiceError) in try learnDetails(of: pids, core) }
    }
    return try await round(role, after: reports, core, tracker ?? .none)
  }

  private func learnDetails(of pids: [Int32], _ core: CoreRound) throws(SluiceError) {
    var processes: [TargetProcess] = []
    for pid in pids {
      do throws(TargetError) { processes.append(try TargetProcess(pid: pid)) } catch {
        guard !processes.isEmpty else { throw SluiceError(error) }
      }
    }
    try onTarget { () throws(TargetError) in try core.learnDetails(of: processes) }
  }

  private func round(
    _ role: RoundRole, after reports: [PreDumpReport], _ core: CoreRound,
    _ tracker: PreDump.Configuration.Tracker
  ) async throws(SluiceError) -> PreDumpReport {
    var role = role
    role.core = core
    role.run = observation
    role.written = reports.isEmpty ? nil : core.written(as: configuration.path)
    role.isFirst = reports.isEmpty
    var copying = configuration.copying
    copying.tracker = tracker
    copying.imagesDirectory = configuration.path
    copying.parentDirectory = nil
    copying.pageServer = nil
    // Threads have registers only where each is stopped by itself.
    (copying.freezeCgroup, copying.findsFreezeCgroup) = (nil, false)
    return try await PreDump(copying, as: role, in: runtime, progress: progress).runAsRound()
  }

  /// Completes the file of a process; nil where there is none.
  private func finish(
    _ process: PreDumpReport.ProcessReport, _ core: CoreRound
  ) async throws(SluiceError) -> CoreReport.Core? {
    guard !Task.isCancelled else { throw .cancelled }
    let owner = PageOwner.process(process.owner)
    guard let stopped = core.stopped(owner), let found = stopped.process, !found.threads.isEmpty,
      let file = try core.files.file(of: owner)
    else { return nil }
    let pageSize = UInt64(sluice_page_size())
    let threads = found.threads.count
    let configuration = configuration
    let isLast = configuration.stream == nil && configuration.compression == nil
    let made = try await runtime.coordinate { () async throws(SluiceError) in
      let mappings = try core.settle(stopped.mappings, of: owner, file)
      var content = found
      content.files = mappings.compactMap { CoreProcess.MappedFile($0, pageSize: pageSize) }
      let made = try file.complete(
        content, mappings, extent: configuration.extent, syncs: configuration.copying.syncs && isLast)
      if isLast { try file.publish(replacing: configuration.replacesFiles) }
      return made
    }
    let compressed = isLast ? nil : try await handOn(file, made)
    return CoreReport.Core(
      pid: process.pid, path: file.output.path, threads: threads, segments: made.segments,
      bytes: made.fileBytes, allocatedBytes: made.allocatedBytes, compressedBytes: compressed)
  }

  /// As messages call a stream: for the command it is standard output.
  private static let streamName = "the output"

  /// Writes a complete core to where it is wanted, another file or a stream.
  ///
  /// - Returns: its length as it was compressed; nil where it was not.
  private func handOn(_ file: CoreFile, _ made: CoreFile.Content) async throws(SluiceError) -> UInt64? {
    let source = file.output
    guard let compression = configuration.compression else {
      guard let stream = configuration.stream else { return nil }
      try await runtime.coordinate { () async throws(SluiceError) in
        try CoreStream.write(
          PlainFile(duplicating: source.descriptor, name: source.path), byteCount: made.fileBytes,
          to: PlainFile(duplicating: stream, name: Self.streamName))
      }
      return nil
    }
    if let stream = configuration.stream {
      return try await compression.run(
        from: source.descriptor, to: stream, inputName: source.path, outputName: Self.streamName
      ).compressedBytes
    }
    var output = try CoreOutput(at: source.path, replacing: configuration.replacesFiles)
    let report = try await compression.run(
      from: source.descriptor, to: output.descriptor, inputName: source.path, outputName: source.path)
    try output.publish(syncs: configuration.copying.syncs)
    return report.compressedBytes
  }
}

extension CoreProcess.MappedFile {
  /// Nil for memory that is of no file.
  init?(_ mapping: CoreMapping, pageSize: UInt64) {
    let vma = mapping.vma
    guard vma.isFileBacked else { return nil }
    self.init(
      range: vma.start..<vma.end, pageOffset: vma.fileOffset / pageSize, path: Self.path(vma.name))
  }

  /// The kernel writes a newline in a path as \012: seq_file_path in fs/seq_file.c.
  private static func path(_ name: String) -> [UInt8] {
    var path: [UInt8] = []
    var rest = Array(name.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\\"), rest.starts(with: "012".utf8) {
        rest.removeFirst(3)
        path.append(UInt8(ascii: "\n"))
      } else {
        path.append(byte)
      }
    }
    return path
  }
}
