internal import CSluiceLinux
internal import Logging
internal import SluiceImages
internal import SluicePipeline
internal import SluiceTarget

/// What rounds of a run that writes cores have in common, and what only the last of them takes: which memory belongs into the
/// cores, and what the threads were doing.
final class CoreRound: Sendable {
  /// What was found of a process while it stood still.
  struct Stopped: Sendable {
    var mappings: [CoreMapping] = []
    var process: CoreProcess?
  }

  private struct State: Sendable {
    var known: [Int32: KnownDetails] = [:]
    var covered: [Int32: [Range<UInt64>]] = [:]
    var stopped: [PageOwner: Stopped] = [:]
    var hasWarned = false
  }

  let files: CoreFiles
  /// Whether descendants have no cores.
  let isAlone: Bool
  private let filter: CoreFilter?
  private let extent: CoreDump.Configuration.Extent
  private let namesPidsInside: Bool
  private let logger: Logger
  private let state = Locked(State())

  /// - Parameter filter: nil for that of each process.
  init(
    _ files: CoreFiles, isAlone: Bool, filter: CoreFilter?, extent: CoreDump.Configuration.Extent,
    namesPidsInside: Bool,
    logger: Logger
  ) {
    self.files = files
    self.isAlone = isAlone
    self.filter = filter
    self.extent = extent
    self.namesPidsInside = namesPidsInside
    self.logger = logger
  }

  /// What the rounds so far have written, of which further rounds write what has changed.
  func written(as name: String) -> RoundParent {
    .sink(RoundParent.Written(name: name, covered: state.withLock { $0.covered }))
  }

  /// Looks up what the processes want of their memory in a core. It takes long, and so it is not done while they stand still.
  ///
  /// - Throws: `TargetError` when the first process is gone; when the kernel does not tell.
  func learnDetails(of processes: [TargetProcess]) throws(TargetError) {
    for process in processes {
      do throws(TargetError) {
        let details = KnownDetails(try MappingDetails.read(of: process))
        state.withLock { $0.known[process.pid] = details }
      } catch {
        guard error.code == .gone, process !== processes[0] else { throw error }
      }
    }
  }

  /// What of the memory of the processes is copied in a round.
  ///
  /// - Throws: `SluiceError` when the first process is gone; when the kernel does not tell.
  func select(
    _ processes: [DumpedProcess], isLast: Bool, pageSize: UInt64
  ) throws(SluiceError) -> [PageOwner: PageSelection] {
    files.learn(processes)
    var selections: [PageOwner: PageSelection] = [:]
    for dumped in processes {
      let selection = try dumped.attempt { () throws(TargetError) in
        try select(dumped, isLast: isLast, pageSize: pageSize)
      }
      // Of one that has ended nothing is copied in any case.
      selections[dumped.owner] = selection?.pages ?? PageSelection()
      if let selection { files.known(dumped.owner)?.reserve(selection.mappings) }
    }
    return selections
  }

  private func select(
    _ dumped: DumpedProcess, isLast: Bool, pageSize: UInt64
  ) throws(TargetError) -> (pages: PageSelection, mappings: [CoreMapping]) {
    let mappings = try mappings(of: dumped.process, standsStill: isLast)
    state.withLock { state in
      state.covered[dumped.process.pid] = mappings.filter { $0.treatment == .own || $0.treatment == .whole }
        .map { $0.vma.start..<$0.vma.end }
      if isLast { state.stopped[dumped.owner, default: Stopped()].mappings = mappings }
    }
    if extent == .stacks {
      return (try selectStacks(of: dumped, mappings, pageSize: pageSize), mappings)
    }
    let pages = try mappings.selection(pageSize: pageSize, isLast: isLast) { (mapping) throws(TargetError) in
      try ranges(of: mapping, in: dumped.process)
    }
    return (pages, mappings)
  }

  /// What a last round would copy of a process beside what page tables tell, in bytes.
  ///
  /// - Throws: `TargetError` when the process is gone, or the kernel does not tell.
  func wholeBytes(of process: TargetProcess) throws(TargetError) -> UInt64 {
    let selection = try mappings(of: process, standsStill: false).selection(
      pageSize: UInt64(sluice_page_size()), isLast: true
    ) {
      (mapping) throws(TargetError) in try ranges(of: mapping, in: process)
    }
    return selection.wholeBytes
  }

  /// Whether the threads are to be taken before the memory is chosen.
  var choosesByThreads: Bool { extent == .stacks }

  private func selectStacks(
    of dumped: DumpedProcess, _ mappings: [CoreMapping], pageSize: UInt64
  ) throws(TargetError) -> PageSelection {
    let core = state.withLock { $0.stopped[dumped.owner]?.process }
    let stacks = ThreadStacks(pageSize: pageSize)
    var wanted = core.map { stacks.ranges(of: $0, in: mappings) } ?? []
    wanted += LoadedLibraries.ranges(
      of: dumped.process, auxiliaryVector: core?.auxiliaryVector ?? [], pageSize: pageSize)
    return mappings.selectionOfStacks(wanted, pageSize: pageSize)
  }

  /// The mappings of a process, and what a core holds of them.
  private func mappings(of process: TargetProcess, standsStill: Bool) throws(TargetError) -> [CoreMapping] {
    var wanted = filter
    if wanted == nil { wanted = try CoreFilter(of: process) }
    let rules = CoreRules(filter: wanted ?? .usual, leavesOutFiles: extent != .all)
    let known = state.withLock { $0.known[process.pid] } ?? KnownDetails()
    var mappings: [CoreMapping] = []
    for vma in try process.mappings() {
      let treatment = try rules.treatment(of: vma, known.find(vma)) { () throws(TargetError) in
        guard standsStill, vma.byteCount <= Self.mostAsked else { return nil }
        return try PopulatedPages.hasOwn(in: vma, of: process)
      } isProgram: {
        process.bytes(at: vma.start, count: 4) == [
          0x7f, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F"),
        ]
      }
      mappings.append(CoreMapping(vma: vma, treatment: treatment))
    }
    return mappings
  }

  /// To ask for the pages of a mapping of a file takes the kernel up to 14 µs for a MiB (measured), and the process stands
  /// still meanwhile: of a larger one than this, in bytes, what was known before has to do.
  private static let mostAsked: UInt64 = 256 << 20

  /// Where there is anything of a mapping that page tables do not tell all of.
  private func ranges(
    of mapping: CoreMapping, in process: TargetProcess
  ) throws(TargetError) -> [Range<UInt64>] {
    if mapping.treatment == .shared {
      if let ranges = try SharedMemory.ranges(of: mapping.vma, in: process) { return ranges }
      // What is small is read as it is, as by others who write cores: the kernel makes pages where there are none.
      if mapping.vma.byteCount <= Self.mostUnasked { return [mapping.vma.start..<mapping.vma.end] }
      let isFirst = state.withLock { state in
        defer { state.hasWarned = true }
        return !state.hasWarned
      }
      if isFirst {
        logger.warning(
          "the core has only those pages of large shared memory that process \(process.pid) has touched itself: run sluice as root, or with CAP_CHECKPOINT_RESTORE, to get all"
        )
      }
    }
    return try PopulatedPages.ranges(of: mapping.vma, in: process)
  }

  /// In bytes.
  private static let mostUnasked: UInt64 = 16 << 20

  /// Takes what the threads of a process were doing when they stood still.
  ///
  /// - Parameter threads: the first one first.
  /// - Throws: `TargetError` when the kernel does not tell.
  func take(_ threads: [ThreadState], of process: TargetProcess) throws(TargetError) {
    let facts = try ProcessFacts(of: process)
    let inside =
      namesPidsInside && facts.isNamespaced
      ? try ProcessFacts.inside(process, threads: threads.map(\.id), parent: facts.parentPid) : nil
    var core = CoreProcess(pid: inside == nil ? process.pid : process.namespacePid)
    core.take(facts, inside)
    core.threads = threads.map { thread in
      CoreProcess.Thread(
        thread, id: inside?.threads[thread.id] ?? thread.id,
        times: ProcessFacts.times(of: thread.id, in: process))
    }
    state.withLock { $0.stopped[.process(ProcessIdentity(process)), default: Stopped()].process = core }
  }

  /// What was found of a process; nil where it was not there when the others stood still.
  func stopped(_ owner: PageOwner) -> Stopped? { state.withLock { $0.stopped[owner] } }

  /// Looks once more what the process wants in no core, as that may have changed just before it stood still: takes out of its
  /// file what got the mark then, and says where memory is missing that had lost it by then.
  ///
  /// - Returns: the mappings, and what the core holds of them.
  /// - Throws: `SluiceError` when the file cannot be written.
  func settle(
    _ mappings: [CoreMapping], of owner: PageOwner, _ file: CoreFile
  ) throws(SluiceError) -> [CoreMapping] {
    guard let identity = owner.process else { return mappings }
    let before = state.withLock { $0.known[identity.pid] } ?? KnownDetails()
    let now: KnownDetails
    do throws(TargetError) {
      let process = try TargetProcess(pid: identity.pid)
      guard ProcessIdentity(process) == identity else { return mappings }
      now = KnownDetails(try MappingDetails.read(of: process))
    } catch {
      // One that has ended since can say no more what it wants.
      return mappings
    }
    let settled = mappings.settled(before: before, now: now, mostAsked: Self.mostAsked)
    for range in settled.removed { try file.zero(range) }
    if let first = settled.missing.first {
      let byteCount = settled.missing.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) }
      logger.warning(
        "up to \(byteCount >> 10) KiB of the memory of process \(identity.pid) may be missing in its core, the first at 0x\(String(first.lowerBound, radix: 16)): the process changed them, or asked for them to be in a core (MADV_DODUMP), just as it was stopped; make another core if you need them"
      )
    }
    return settled.mappings
  }
}

extension CoreProcess {
  fileprivate mutating func take(_ facts: ProcessFacts, _ inside: ProcessFacts.Inside?) {
    (parentPid, group, session) = (facts.parentPid, facts.group, facts.session)
    if let inside { (parentPid, group, session) = (inside.parent, inside.group, inside.session) }
    (user, userGroup) = (facts.user, facts.userGroup)
    (nice, flags) = (facts.nice, facts.flags)
    // That it is traced is our doing.
    state = facts.state == UInt8(ascii: "t") ? UInt8(ascii: "R") : facts.state
    (command, arguments, auxiliaryVector) = (facts.command, facts.arguments, facts.auxiliaryVector)
    (userMicroseconds, systemMicroseconds) = (facts.times.user, facts.times.system)
    (childUserMicroseconds, childSystemMicroseconds) = (facts.childTimes.user, facts.childTimes.system)
  }
}

extension CoreProcess.Thread {
  fileprivate init(_ thread: ThreadState, id: Int32, times: ProcessFacts.Times) {
    self.init(id: id, registers: thread.registers)
    sets = thread.sets.map { CoreProcess.RegisterSet(type: $0.type, bytes: $0.bytes) }
    blockedSignals = thread.blockedSignals
    signal = thread.signal
    signalInfo = thread.signalInfo
    (userMicroseconds, systemMicroseconds) = (times.user, times.system)
  }
}

extension CoreFilter {
  /// That of a process; the usual one where the kernel has none (CONFIG_ELF_CORE).
  ///
  /// - Throws: `TargetError` when the process is gone.
  init(of process: TargetProcess) throws(TargetError) {
    self = try process.coredumpFilter().map { CoreFilter(rawValue: $0) } ?? .usual
  }
}
