import ArgumentParser
import Glibc
import Sluice

/// `sluice core`
struct CoreCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "core",
    abstract: "Write a core dump of a process, which keeps running.",
    discussion: """
      The memory is copied while the process runs. At the end it is stopped for some milliseconds: for the registers of \
      its threads, and for what it has written meanwhile. gdb, lldb and eu-stack read the file:

        sluice core -t 4711 -o core.4711
        gdb /proc/4711/exe core.4711

      The file has the memory and the threads of the moment of that stop. It holds what the kernel's own dump would hold \
      (core(5)): passwords and keys, too. Only its owner may read it.
      """)

  @Option(
    name: [.customShort("t"), .customLong("pid")], parsing: .unconditional,
    help: ArgumentHelp(
      "The process. With --from: which process of the images, by its pid in its own pid namespace.",
      valueName: "pid"))
  var pid: Int32?

  @Option(
    help: ArgumentHelp(
      "Make the core from these images of CRIU's final dump, not from a running process.", valueName: "dir"),
    completion: .directory)
  var from: String?

  @Option(
    help: ArgumentHelp(
      "Expand this compressed core, instead of making one.",
      valueName: "file"), completion: .file())
  var expand: String?

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp(
      "The core file. {pid} and {name} are replaced by those of the process. The file must not exist yet.",
      discussion: """
        -o - writes the core to standard output when it is finished, such as into ssh. Until then it is an unnamed file in \
        TMPDIR (or /var/tmp), which needs that much space.
        """,
      valueName: "file"), completion: .file())
  var output: String

  @Flag(
    help: "Also write a core of each descendant, all of the same moment. The file's name must contain {pid}.")
  var tree = false

  @Flag(help: "Replace an existing file, when the new one is finished.")
  var force = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Copy in up to N rounds while the process runs, each round only the pages written since the one before.",
      discussion:
        "Fewer rounds are made when another one would not help. Then the process is stopped while the rest is read. 0: one stop for everything.",
      valueName: "n"))
  var rounds = CoreDump.Configuration.usualRounds

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Make rounds until the stop is predicted to take no longer than this, as long as each makes it shorter.",
      valueName: "ms"))
  var maxStop: Double?

  @Option(
    help: ArgumentHelp(
      "With --max-stop, if rounds do not make the stop short enough: stop all the same, or fail and leave the process running.",
      valueName: "what"))
  var ifNotConverging = NotConvergingOption.stop

  @Option(
    help: ArgumentHelp(
      "Which memory is in the core: the bits of /proc/PID/coredump_filter (core(5)), in hexadecimal.",
      discussion: "The default is the filter of the process itself, usually 33.", valueName: "bits"))
  var filter: CoreFilterOption?

  @Flag(
    help:
      "Leave out pages that are the same in a file.")
  var dirtyOnly = false

  @Flag(
    help:
      "Take only what a debugger needs to show the calls of all threads: stacks, and the data of programs and libraries. A few MiB, in one stop."
  )
  var stacksOnly = false

  @Option(
    help: ArgumentHelp(
      "Use the pids inside the process's pid namespace (a container), or outside.",
      discussion:
        "The kernel's own cores have those inside, and gdb expects them; ps and gcore on the host show those outside.",
      valueName: "side"))
  var pids = PidsOption.inside

  @Option(
    help: ArgumentHelp(
      "Compress the core when it is complete: zstd or none.",
      discussion: """
        gdb, lldb and elfutils read cores that are not compressed. 'sluice core --expand' and 'zstd -d' expand them; until \
        the core is complete, it also needs its full size on the disk.
        """,
      valueName: "how"))
  var compress = CompressOption.none

  @OptionGroup
  var stopOptions: StopOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The memory that copying may use, such as 16M or 1.5Gi.", valueName: "size")
  )
  var memoryBudget = Self.usualBudget

  private static let usualBudget = ByteCount(bytes: 64 << 20)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("How many threads read the memory while the process runs.", valueName: "n"))
  var readers = ReadersOption.each(1)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How many threads read during the stop: auto (one for each processor) or a number.",
      valueName: "n"))
  var stopReaders = StopReadersOption.auto

  @OptionGroup
  var rate: RateOptions

  @Option(
    help: ArgumentHelp(
      "How to write: auto, direct (past the page cache), buffered or cached (without waiting for the disk).",
      valueName: "way"))
  var io = IOOption.auto

  @Flag(
    inversion: .prefixedNo, help: "Wait until the core is on the disk before it gets its name.")
  var sync = true

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "End the run after this time, as a signal would end it, with exit code 124.", valueName: "seconds")
  )
  var timeout: Double?

  @Option(
    help: ArgumentHelp(
      "Show progress on standard error: auto (a bar on a terminal), json (a line ten times a second) or none.",
      valueName: "style"))
  var progress = ProgressOption.auto

  @Flag(help: "Print the figures as one JSON object on standard output.")
  var json = false

  @Flag(name: [.short, .long], help: "Say what is being done; given twice, say more.")
  var verbose: Int

  func validate() throws {
    guard from == nil || expand == nil else {
      throw ValidationError(
        "--from and --expand exclude each other: use one of them")
    }
    if expand != nil, pid != nil { throw ValidationError("--expand needs no process: leave out -t") }
    if expand == nil, from == nil, pid == nil {
      throw ValidationError("name a process (-t), images (--from) or a compressed core (--expand)")
    }
    if from != nil || expand != nil, let option = optionsOfProcesses.first(where: \.isGiven)?.name {
      throw ValidationError(
        "\(option) has no effect with \(from != nil ? "--from" : "--expand"): it is for cores of running processes (-t)"
      )
    }
    guard !output.isEmpty else { throw ValidationError("--output must name a file: the name is empty") }
    guard rounds >= 0 else { throw ValidationError("--rounds must be at least 0") }
    if let maxStop, !(maxStop > 0 && maxStop <= 1e9) {
      throw ValidationError("--max-stop must be above 0 (milliseconds)")
    }
    if maxStop == nil, ifNotConverging == .fail {
      throw ValidationError("--if-not-converging needs --max-stop")
    }
    if output == "-", tree || json || force {
      throw ValidationError(
        "--output - writes one core to standard output: leave out --tree, --json and --force"
      )
    }
    if stacksOnly, dirtyOnly { throw ValidationError("--stacks-only and --dirty-only exclude each other") }
    if tree, !output.contains("{pid}") {
      throw ValidationError("--tree needs an --output with {pid}, since each process has a file")
    }
    if let timeout, !(timeout > 0 && timeout <= 1e9) {
      throw ValidationError("--timeout must be above 0 (seconds)")
    }
  }

  /// The options that mean nothing where no process is copied, and whether they say something else than by default.
  private var optionsOfProcesses: [(name: String, isGiven: Bool)] {
    [
      ("--tree", tree), ("--rounds", rounds != CoreDump.Configuration.usualRounds),
      ("--max-stop", maxStop != nil), ("--if-not-converging", ifNotConverging != .stop),
      ("--filter", filter != nil), ("--dirty-only", dirtyOnly), ("--stacks-only", stacksOnly),
      ("--pids", pids != .inside), ("--compress", compress != .none), ("--output -", isStream),
      ("--stop-timeout", stopOptions.stopTimeout != StopOptions.usual),
      ("--memory-budget", expand == nil && memoryBudget != Self.usualBudget),
      ("--readers", readers != .each(1)), ("--stop-readers", stopReaders != .auto),
      ("--max-rate", rate.maxRate != nil), ("--max-rate-file", rate.maxRateFile != nil),
      ("--io", io != .auto), ("--progress", progress != .auto),
    ]
  }

  func run() async throws {
    if let from { return try await make(from: from) }
    if let expand { return try await run(expanding: expand) }
    guard let pid else { return }
    let (result, cause) = await SignalCancellation.run(timeout: timeout.map { .seconds($0) }) {
      () async throws(SluiceError) in
      let (limit, watch) = rate.start()
      defer { watch?.cancel() }
      let dump = CoreDump(configuration(of: pid, limitedBy: limit))
      let (style, feed) = (progress.style(writingJSONTo: STDERR_FILENO), dump.progress)
      let display = Task { await ProgressDisplay.show(feed, as: style) }
      let tellsRounds = verbose > 0
      let result: Result<CoreReport, SluiceError>
      do throws(SluiceError) {
        result = .success(
          try await dump.run { number, report in
            guard tellsRounds else { return }
            Terminal.message(PreDumpOutput(report, round: number).roundLine(reasonForLast: nil))
          })
      } catch { result = .failure(error) }
      // What is shown ends with the run; messages come after it.
      await display.value
      return try result.get()
    }
    let report: CoreReport
    switch result {
    case .success(let value): report = value
    case .failure(let error):
      // Whoever reads the core, such as head(1), has seen enough.
      if isStream, error.code == .io, error.errno?.code == EPIPE { throw ExitCode(128 + SIGPIPE) }
      throw CommandFailure.report(error, after: cause)
    }
    for line in lines(report) { Terminal.message(line) }
    guard !json || Terminal.json(report) else { throw CommandFailure.outputFailed }
  }

  /// Runs work that makes the output in one go.
  private func runOnce<Report: Encodable & Sendable>(
    _ line: @escaping @Sendable (Report) -> String,
    _ work: @escaping @Sendable () async throws(SluiceError) -> Report
  ) async throws {
    let (result, cause) = await SignalCancellation.run(timeout: timeout.map { .seconds($0) }, work)
    switch result {
    case .success(let report):
      Terminal.message(line(report))
      guard !json || Terminal.json(report) else { throw CommandFailure.outputFailed }
    case .failure(let error): throw CommandFailure.report(error, after: cause)
    }
  }

  /// Makes the core of a checkpoint.
  private func make(from directory: String) async throws {
    try await runOnce({ [output] (report: CheckpointCore.Report) in
      let threads = report.threads == 1 ? "1 thread" : "\(report.threads) threads"
      return "sluice: process \(report.pid) of the images in \(directory): \(threads), "
        + "\(ByteCount.text(Int(clamping: report.dataBytes))) of memory, into \(output)"
    }) { [pid, output, force, sync] () async throws(SluiceError) in
      var file = try CoreOutput(at: output, replacing: force)
      let report = try await CheckpointCore(directory: directory).run(
        pid: pid, to: file.descriptor, outputName: output)
      try file.publish(syncs: sync)
      return report
    }
  }

  private func run(expanding path: String) async throws {
    try await runOnce({ [output] (report: CoreExpansion.Report) in
      "sluice: \(path) expanded into \(output): \(ByteCount.text(Int(clamping: report.bytes - report.holeBytes))) and holes"
    }) { [output, force, sync, memoryBudget] () async throws(SluiceError) in
      let input = unsafe open(path, O_RDONLY | O_CLOEXEC)
      guard input >= 0 else { throw SluiceError(opening: path, code: errno) }
      defer { close(input) }
      var file = try CoreOutput(at: output, replacing: force)
      var expansion = CoreExpansion()
      expansion.memoryBudget = memoryBudget.bytes
      let report = try await expansion.run(
        from: input, to: file.descriptor, inputName: path, outputName: output)
      try file.publish(syncs: sync)
      return report
    }
  }

  private var isStream: Bool { output == "-" }

  /// Where a core is that goes to standard output in the end. It never has this name.
  private static var unnamedPath: String {
    let directory = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/var/tmp"
    return "\(directory)/sluice-core-\(getpid())"
  }

  private func lines(_ report: CoreReport) -> [String] {
    report.cores.enumerated().map { index, core in
      let threads = core.threads == 1 ? "1 thread" : "\(core.threads) threads"
      let path = isStream ? "standard output" : core.path
      let size = ByteCount.text(Int(clamping: core.compressedBytes ?? core.allocatedBytes))
      let line = "sluice: process \(core.pid): \(threads), \(size) on the disk, into \(path)"
      guard index == 0 else { return line }
      let rounds = report.rounds.count - 1
      let before = rounds == 0 ? "" : rounds == 1 ? " after 1 round" : " after \(rounds) rounds"
      return
        "\(line) in \(Elapsed.text(report.duration)); stopped for \(Elapsed.text(report.stopped))\(before)"
    }
  }

  private func configuration(of pid: Int32, limitedBy rateLimit: RateLimit?) -> CoreDump.Configuration {
    var configuration = CoreDump.Configuration(pid: pid, path: isStream ? Self.unnamedPath : output)
    configuration.includesDescendants = tree
    configuration.replacesFiles = force
    if compress == .zstd {
      var compression = CoreCompression()
      compression.memoryBudget = memoryBudget.bytes
      configuration.compression = compression
    }
    configuration.filter = filter?.value
    configuration.extent = stacksOnly ? .stacks : dirtyOnly ? .withoutFiles : .all
    configuration.stream = isStream ? STDOUT_FILENO : nil
    configuration.namesPidsInside = pids == .inside
    configuration.policy.rounds = rounds
    if let maxStop {
      configuration.policy.maxStop = .seconds(maxStop / 1000)
      configuration.policy.ifNotConverging = ifNotConverging.value
      configuration.policy.untilPages = 0
      configuration.policy.untilSkippedPercent = 101
      configuration.policy.maxGrowthPages = .max
    }
    configuration.copying.stopTimeLimit = stopOptions.limit
    configuration.copying.memoryBudget = memoryBudget.bytes
    configuration.copying.rateLimit = rateLimit
    switch readers {
    case .each(let number): configuration.copying.readers = number
    case .onNodes(let counts): configuration.copying.readersOnNodes = counts
    }
    configuration.copying.stopReaders = stopReaders.count
    configuration.copying.io = io.value
    configuration.copying.syncs = sync
    configuration.copying.logger = StandardErrorLog.logger(verbosity: verbose)
    return configuration
  }
}

/// `--pids`
enum PidsOption: String, ExpressibleByArgument, CaseIterable {
  case inside
  case outside
}

/// `--compress`
enum CompressOption: String, ExpressibleByArgument, CaseIterable {
  case zstd
  case none
}

/// `--filter`
struct CoreFilterOption: ExpressibleByArgument {
  let value: CoreFilter

  init?(argument: String) {
    let digits = argument.hasPrefix("0x") ? argument.dropFirst(2) : argument[...]
    guard let bits = UInt32(digits, radix: 16) else { return nil }
    value = CoreFilter(rawValue: bits)
  }
}
