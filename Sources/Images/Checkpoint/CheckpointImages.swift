internal import CSluiceImages
internal import Glibc

/// The images of CRIU's final dump, beside those of memory. They may come from anywhere, and are believed no further than what
/// becomes of them: the registers and the mappings of a core.
public struct CheckpointImages: Sendable {
  /// A process that the images are of.
  public struct Entry: Sendable, Hashable {
    /// Its pid, in its own pid namespace.
    public var pid: Int32
    /// The pid of its parent there; 0 where that was not dumped.
    public var parentPid: Int32
    /// Its process group.
    public var group: Int32
    /// Its session.
    public var session: Int32
    /// The ids of its threads.
    public var threads: [Int32]
  }

  private let chain: ImageChain
  /// The processes, as the images list them.
  public let entries: [Entry]

  private static let everyField: [ClosedRange<UInt32>] = [1...UInt32.max]
  /// A process with more threads, or a dump of more processes, is none: the kernel has no more pids (PID_MAX_LIMIT).
  private static let mostThreads = 1 << 22
  private static let longestProcess = 4 << 20
  /// 65,530 is the kernel's default (vm.max_map_count), and four times that is what databases ask for.
  private static let mostMappings = 1 << 18
  private static let longestMemory = 16 << 20
  /// The extended registers make most of one.
  private static let mostCoreFields = 1 << 10

  /// Reads the list of processes.
  ///
  /// - Throws: `ImagesError` with `malformed` where these are no images of a final dump.
  public init(chain: ImageChain) throws(ImagesError) {
    self.chain = chain
    guard var reader = try RecordReader(opening: ImageFormat.processesName, in: chain.levels[0].directory)
    else {
      throw ImagesError(
        .malformed,
        "\(chain.path) has no \(ImageFormat.processesName): only images of a final dump ('criu dump') have the registers for a core"
      )
    }
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.processesMagic])
    var entries: [Entry] = []
    var threads = 0
    while let entry = try unsafe reader.next(
      like: Sluice__ProcessEntry.blank, besides: Self.everyField, longest: Self.longestProcess,
      body: { unsafe Entry($0) })
    {
      guard let entry else { throw reader.malformed("a process has no pid, or an impossible one") }
      threads += 1 + entry.threads.count
      guard threads <= Self.mostThreads else {
        throw reader.malformed("it has more threads than a machine can have")
      }
      entries.append(entry)
    }
    self.entries = entries
  }

  /// What the images say of a process.
  ///
  /// - Throws: `ImagesError` with `malformed` where they lack something of it or say what cannot be.
  public func process(_ entry: Entry) throws(ImagesError) -> CheckpointProcess {
    var core = CoreProcess(pid: entry.pid)
    (core.parentPid, core.group, core.session) = (entry.parentPid, entry.group, entry.session)
    var machine: CoreMachine?
    // The first thread is the one that has the process' pid.
    for thread in [entry.pid] + entry.threads.filter({ $0 != entry.pid }) {
      let read = try thread == entry.pid ? readLeader(&core) : readThread(thread)
      guard machine == nil || machine == read.machine else {
        throw ImagesError(
          .malformed, "the threads of process \(entry.pid) in \(chain.path) are of different processors")
      }
      machine = read.machine
      core.threads.append(read.thread)
    }
    guard let machine else { preconditionFailure("the first thread was read, or an error thrown") }
    var memory = try readMemory(of: entry.pid)
    core.auxiliaryVector = memory.auxiliaryVector
    let files = try fileNames(of: memory)
    core.files = memory.mappings.compactMap { mapping in
      guard let id = mapping.file, let path = files.paths[id] else { return nil }
      return CoreProcess.MappedFile(
        range: mapping.value.range, pageOffset: mapping.offset / chain.levels[0].directory.pageSize,
        path: path)
    }
    for index in memory.mappings.indices {
      guard let id = memory.mappings[index].file, let shared = files.shared[id] else { continue }
      memory.mappings[index].value.pages = .shared(id: shared, offset: memory.mappings[index].offset)
    }
    return CheckpointProcess(
      core: core, machine: machine, mappings: memory.mappings.map(\.value), arguments: memory.arguments)
  }

  // MARK: Threads

  private struct ReadThread {
    let machine: CoreMachine
    let thread: CoreProcess.Thread
  }

  private func readThread(_ id: Int32) throws(ImagesError) -> ReadThread {
    try unsafe readCore(of: id) { unsafe Self.thread($0, id: id) }
  }

  /// The first thread, and what its image says of the process.
  private func readLeader(_ core: inout CoreProcess) throws(ImagesError) -> ReadThread {
    let id = core.pid
    let (read, process) = try unsafe readCore(of: id) { entry -> Result<(ReadThread, CoreProcess), Fault> in
      var process = CoreProcess(pid: id)
      if let task = unsafe entry.task { unsafe Self.fill(&process, from: task.pointee) }
      if let thread = unsafe entry.thread {
        process.nice = Int8(clamping: unsafe thread.pointee.nice)
        if let credentials = unsafe thread.pointee.credentials {
          (process.user, process.userGroup) = unsafe (credentials.pointee.uid, credentials.pointee.gid)
        }
      }
      return unsafe Self.thread(entry, id: id).map { ($0, process) }
    }
    (core.state, core.flags, core.command) = (process.state, process.flags, process.command)
    (core.nice, core.user, core.userGroup) = (process.nice, process.user, process.userGroup)
    return read
  }

  /// What is wrong with a thread's image.
  private enum Fault: Error {
    case noRegisters
    case narrow
    case processor(UInt32)
  }

  private func readCore<Success>(
    of id: Int32, _ body: (Sluice__CoreEntry) -> Result<Success, Fault>
  ) throws(ImagesError) -> Success {
    let name = ImageFormat.coreName(thread: id)
    guard var reader = try RecordReader(opening: name, in: chain.levels[0].directory) else {
      throw ImagesError(
        .malformed, "\(chain.path)/\(name) is not there, which has the registers of thread \(id)")
    }
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.coreMagic])
    let result = try unsafe reader.next(
      like: Sluice__CoreEntry.blank, besides: Self.everyField, mostFields: Self.mostCoreFields,
      body: { unsafe body($0) })
    switch result {
    case .success(let success)?: return success
    case .failure(.noRegisters)?, nil: throw reader.malformed("it has no registers")
    case .failure(.narrow)?:
      throw reader.malformed("it is of a 32-bit program, and Sluice makes no cores of those")
    case .failure(.processor(let number))?:
      throw reader.malformed("it is of a processor (\(number)) that Sluice makes no cores for")
    }
  }

  /// The numbers of processors in core-<tid>.img.
  private static let x86: UInt32 = 1
  private static let arm: UInt32 = 3

  private static func thread(_ entry: Sluice__CoreEntry, id: Int32) -> Result<ReadThread, Fault> {
    let machine: CoreMachine
    let registers: CheckpointRegisters.Registers?
    switch unsafe entry.machine {
    case x86:
      machine = .x86
      guard let from = unsafe entry.x86 else { return .failure(.noRegisters) }
      guard unsafe !CheckpointRegisters.isNarrow(from.pointee) else { return .failure(.narrow) }
      registers = unsafe CheckpointRegisters.x86(from.pointee)
    case arm:
      machine = .arm
      guard let from = unsafe entry.arm else { return .failure(.noRegisters) }
      registers = unsafe CheckpointRegisters.arm(from.pointee)
    case let other: return .failure(.processor(other))
    }
    guard let registers else { return .failure(.noRegisters) }
    var thread = CoreProcess.Thread(id: id, registers: registers.general)
    thread.sets = registers.sets
    if let from = unsafe entry.thread {
      unsafe thread.blockedSignals = from.pointee.blocked_signals
      if let signals = unsafe from.pointee.signals {
        unsafe thread.pendingSignals |= pending(signals.pointee)
      }
    }
    if let from = unsafe entry.task {
      if unsafe from.pointee.has_blocked_signals != 0,
        unsafe entry.thread?.pointee.has_blocked_signals ?? 0 == 0
      {
        unsafe thread.blockedSignals = from.pointee.blocked_signals
      }
      if let signals = unsafe from.pointee.signals {
        unsafe thread.pendingSignals |= pending(signals.pointee)
      }
    }
    return .success(ReadThread(machine: machine, thread: thread))
  }

  /// The signals of a queue, as bits; siginfo_t begins with the number.
  private static func pending(_ queue: Sluice__SignalQueue) -> UInt64 {
    var bits: UInt64 = 0
    for index in 0..<(unsafe queue.n_signals) {
      guard let signal = unsafe queue.signals[index], unsafe signal.pointee.info.len >= 4 else { continue }
      let number = unsafe UnsafeRawPointer(signal.pointee.info.data).loadUnaligned(as: Int32.self)
      if (1...64).contains(number) { bits |= 1 << UInt64(number - 1) }
    }
    return bits
  }

  private static func fill(_ process: inout CoreProcess, from task: Sluice__TaskEntry) {
    unsafe process.flags = task.flags
    process.command = unsafe Array(text: task.name)
    process.state =
      switch unsafe task.state {
      case 3: UInt8(ascii: "T")
      case 2, 6: UInt8(ascii: "Z")
      default: UInt8(ascii: "R")
      }
  }

  // MARK: Memory

  /// A mapping, and what is needed to find its file.
  private struct ReadMapping {
    var value: CheckpointProcess.Mapping
    let offset: UInt64
    /// The id of its file in files.img; nil where it has none.
    let file: UInt64?
  }

  private struct ReadMemory {
    var mappings: [ReadMapping]
    var auxiliaryVector: [UInt8]
    var arguments: Range<UInt64>
  }

  private func readMemory(of pid: Int32) throws(ImagesError) -> ReadMemory {
    let name = ImageFormat.memoryName(pid: pid)
    guard var reader = try RecordReader(opening: name, in: chain.levels[0].directory) else {
      throw ImagesError(
        .malformed,
        "\(chain.path)/\(name) is not there: process \(pid) had no memory any more, or the images are not whole"
      )
    }
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.memoryMagic])
    let pageSize = chain.levels[0].directory.pageSize
    let read = try unsafe reader.next(
      like: Sluice__MemoryEntry.blank, besides: Self.everyField, longest: Self.longestMemory,
      mostFields: Self.mostMappings, body: { unsafe Self.memory($0, pageSize: pageSize) })
    guard let read else { throw reader.malformed("it has no record") }
    guard let memory = read else {
      throw reader.malformed("its mappings are not in order, or not of whole pages")
    }
    return memory
  }

  /// - Returns: nil for mappings that cannot be.
  private static func memory(_ entry: Sluice__MemoryEntry, pageSize: UInt64) -> ReadMemory? {
    var auxiliaryVector: [UInt8] = []
    for index in 0..<(unsafe entry.n_auxiliary_vector) {
      auxiliaryVector.append(number: unsafe entry.auxiliary_vector[index])
    }
    // AT_NULL ends it, which the images leave out.
    if !auxiliaryVector.isEmpty { auxiliaryVector.append(zeros: 16) }
    let (start, end) = unsafe (entry.arguments_start, entry.arguments_end)
    var memory = ReadMemory(
      mappings: [], auxiliaryVector: auxiliaryVector, arguments: start..<max(start, end))
    var last: UInt64 = 0
    for index in 0..<(unsafe entry.n_mappings) {
      guard let pointer = unsafe entry.mappings[index] else { return nil }
      let from = unsafe pointer.pointee
      let (start, end, offset) = unsafe (from.start, from.end, from.offset)
      guard start < end, start >= last, start % pageSize == 0, end % pageSize == 0 else { return nil }
      last = end
      // The processor has no such addresses for programs: [vsyscall].
      guard end < 1 << 63 else { continue }
      let status = unsafe MappingStatus(rawValue: from.status)
      var pages = CheckpointProcess.Mapping.Pages.none
      var file: UInt64?
      if status.contains(.fileShared) || status.contains(.filePrivate) { unsafe file = from.object }
      if status.contains(.vvar) {
        pages = .none
      } else if status.contains(.filePrivate) {
        pages = .ownOfFile
      } else if status.contains(.anonymousShared) {
        pages = .shared(id: unsafe from.object, offset: offset)
      } else if !status.contains(.fileShared) {
        pages = .own
      }
      memory.mappings.append(
        ReadMapping(
          value: CheckpointProcess.Mapping(
            range: start..<end, permissions: permissions(unsafe from.protection), pages: pages,
            isExcluded: unsafe from.advice & MappingStatus.dontDump != 0 && !status.contains(.vdso)),
          offset: offset, file: file))
    }
    return memory
  }

  /// PROT_READ, PROT_WRITE and PROT_EXEC as PF_R, PF_W and PF_X.
  private static func permissions(_ protection: UInt32) -> UInt32 {
    (protection & 1 != 0 ? CoreSegment.readable : 0) | (protection & 2 != 0 ? CoreSegment.writable : 0)
      | (protection & 4 != 0 ? CoreSegment.executable : 0)
  }

  // MARK: Files

  private struct FileNames {
    var paths: [UInt64: [UInt8]] = [:]
    /// The numbers of the shared memory that files in memory are.
    var shared: [UInt64: UInt64] = [:]
  }

  /// The files that are mapped, as far as the images name them.
  private func fileNames(of memory: ReadMemory) throws(ImagesError) -> FileNames {
    let wanted = Set(memory.mappings.compactMap(\.file))
    var names = FileNames()
    guard !wanted.isEmpty else { return names }
    var inodes: [UInt64: UInt32] = [:]
    let level = chain.levels[0]
    if var reader = try RecordReader(opening: ImageFormat.filesName, in: level.directory) {
      try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.filesMagic])
      while let file = try unsafe reader.next(
        like: Sluice__FileEntry.blank, besides: Self.everyField,
        body: { entry -> (id: UInt64, path: [UInt8]?, inode: UInt32?) in
          let id = UInt64(unsafe entry.id)
          guard wanted.contains(id) else { return (id, nil, nil) }
          return unsafe (
            id, entry.regular.map { unsafe Array(text: $0.pointee.name) }, entry.memory?.pointee.inode
          )
        })
      {
        if let path = file.path { names.paths[file.id] = path }
        if let inode = file.inode { inodes[file.id] = inode }
      }
    } else if var reader = try RecordReader(opening: ImageFormat.regularFilesName, in: level.directory) {
      try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.regularFilesMagic])
      while let file = try unsafe reader.next(
        like: Sluice__RegularFileEntry.blank, besides: Self.everyField,
        body: { entry -> (id: UInt64, path: [UInt8]) in
          let id = UInt64(unsafe entry.id)
          return unsafe (id, wanted.contains(id) ? Array(text: entry.name) : [])
        })
      {
        if wanted.contains(file.id) { names.paths[file.id] = file.path }
      }
    }
    names.shared = try sharedMemory(of: inodes)
    return names
  }

  private func sharedMemory(of inodes: [UInt64: UInt32]) throws(ImagesError) -> [UInt64: UInt64] {
    guard !inodes.isEmpty,
      var reader = try RecordReader(opening: ImageFormat.memoryFilesName, in: chain.levels[0].directory)
    else { return [:] }
    try reader.expect(magics: [ImageFormat.commonMagic, ImageFormat.memoryFilesMagic])
    let wanted = Set(inodes.values)
    var numbers: [UInt32: UInt64] = [:]
    while let inode = try unsafe reader.next(
      like: Sluice__MemoryInodeEntry.blank, besides: Self.everyField,
      body: { unsafe (id: $0.id, number: UInt64($0.shmid)) })
    {
      if wanted.contains(inode.id) { numbers[inode.id] = inode.number }
    }
    return inodes.compactMapValues { numbers[$0] }
  }

  /// Whether the images have pages of shared memory.
  ///
  /// - Throws: `ImagesError` when that cannot be found out.
  public func sharedPagemap(id: UInt64) throws(ImagesError) -> ChainPagemap? {
    try pagemap(ImageFormat.sharedPagemapName(id: id))
  }

  /// The pages of a process; nil where the images have none.
  ///
  /// - Throws: `ImagesError` when they cannot be read.
  public func pagemap(pid: Int32) throws(ImagesError) -> ChainPagemap? {
    try pagemap(ImageFormat.pagemapName(pid: pid))
  }

  private func pagemap(_ name: String) throws(ImagesError) -> ChainPagemap? {
    guard try chain.levels[0].directory.openFile(name) != nil else { return nil }
    return try ChainPagemap(name: name, in: chain)
  }
}

/// What kind of mapping one is, in mm-<pid>.img.
private struct MappingStatus: OptionSet {
  let rawValue: UInt32

  static let vdso = MappingStatus(rawValue: 1 << 3)
  static let filePrivate = MappingStatus(rawValue: 1 << 6)
  static let fileShared = MappingStatus(rawValue: 1 << 7)
  static let anonymousShared = MappingStatus(rawValue: 1 << 8)
  static let vvar = MappingStatus(rawValue: 1 << 12)

  /// The bit of MADV_DONTDUMP among the advice that a mapping was given.
  static let dontDump: UInt64 = 1 << 16
}

extension CheckpointImages.Entry {
  /// - Returns: nil for a pid that there is not.
  fileprivate init?(_ entry: Sluice__ProcessEntry) {
    func number(_ value: UInt32) -> Int32? { value <= 1 << 22 ? Int32(value) : nil }
    guard let pid = number(unsafe entry.pid), pid > 0 else { return nil }
    self.pid = pid
    parentPid = number(unsafe entry.ppid) ?? 0
    group = number(unsafe entry.pgid) ?? 0
    session = number(unsafe entry.sid) ?? 0
    threads = []
    for index in 0..<(unsafe entry.n_threads) {
      guard let thread = number(unsafe entry.threads[index]), thread > 0 else { return nil }
      threads.append(thread)
    }
    guard Set(threads).count == threads.count else { return nil }
  }
}

extension [UInt8] {
  /// The bytes of a C string; none where there is no string.
  fileprivate init(text: UnsafePointer<CChar>?) {
    guard let text = unsafe text else {
      self = []
      return
    }
    // Whatever bytes a path has.
    self = unsafe Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
  }
}
