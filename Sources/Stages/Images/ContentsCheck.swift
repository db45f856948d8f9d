internal import CSluiceLinux
internal import Glibc
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// Compares images with the memory of the processes that they are of, which stand still meanwhile.
///
/// One thread stops them and lets them go, another reads: so they go on in time whatever the reading of images waits for,
/// and whatever becomes of us.
public struct ContentsCheck: Sendable {
  /// The newest directory of the images' chain.
  public let directory: String
  /// The process that is compared with all of its descendants, by the pid that we see it under.
  public let pid: Int32
  /// Whether the links of the chain are followed whoever they belong to, and whoever may write where they lead.
  public var trustsParents = false
  /// How the states of pages are found.
  public var pageStates = PreDump.Configuration.PageStates.automatic
  /// How long the processes may be stopped, from the first attempt to stop one until all run again.
  public var stopTimeLimit = Duration.seconds(30)

  /// These images, of this process.
  public init(directory: String, pid: Int32) {
    self.directory = directory
    self.pid = pid
  }

  /// How many pages are as they should be, and how many are not.
  public struct Pages: Hashable, Sendable {
    /// The same in the images and in memory.
    public var equal: UInt64 = 0
    /// In both, with other contents.
    public var differing: UInt64 = 0
    /// In memory, and not in the images.
    public var missing: UInt64 = 0
    /// In the images, and not in memory any more: a restore leaves them out, so nothing is wrong with that.
    public var gone: UInt64 = 0

    static func += (total: inout Pages, other: Pages) {
      total.equal += other.equal
      total.differing += other.differing
      total.missing += other.missing
      total.gone += other.gone
    }
  }

  /// A mapping of which some pages are not as in the images.
  public struct Mapping: Sendable {
    /// The first address.
    public let start: UInt64
    /// The address after the last.
    public let end: UInt64
    /// The path of the file, a name in brackets, or nothing.
    public let name: String
    /// Its pages.
    public let pages: Pages
  }

  /// What became of one task.
  public struct ProcessReport: Sendable {
    /// The process, by the pid that we see it under.
    public let pid: Int32
    /// The pid that its images are named by.
    public let namespacePid: Int32
    /// Whether there are images of it at all.
    public let hasImages: Bool
    /// All of its pages, with those that are gone together with their mapping.
    public internal(set) var pages = Pages()
    /// Those of the gone pages that no mapping of the process has a place for any more.
    public internal(set) var unmapped: UInt64 = 0
    /// Those mappings that are not as in the images.
    public internal(set) var mappings: [Mapping] = []
  }

  /// Runs to the end.
  ///
  /// Where their time is over, and the images' disk does not answer for ten seconds, what waits for it is left behind.
  ///
  /// - Returns: a report for each task of the tree.
  /// - Throws: `SluiceError`. The processes go on in any case.
  public func run() async throws(SluiceError) -> [ProcessReport] {
    try PreDump.Configuration.check(stopTimeLimit: stopTimeLimit)
    let patience = Patience<[ProcessReport]>()
    do throws(SluiceError) {
      return try await patience.run { () async throws(SluiceError) in try await run(patience) }
    } catch {
      throw error.ifCancelled(is: "the comparison with the process")
    }
  }

  @concurrent
  private func run(_ patience: Patience<[ProcessReport]>) async throws(SluiceError) -> [ProcessReport] {
    let thread = try StageThreads.make("sluice-verify")
    defer { thread.shutdown() }
    let stopper = try StageThreads.make("sluice-stop")
    defer { stopper.shutdown() }
    let comparer = Comparer(check: self, executor: thread)
    let holder = TreeHolder(executor: stopper)
    let stopped = try await holder.stop(try await comparer.open(), limit: stopTimeLimit) {
      patience.endNow(SluiceError($0))
    }
    return try await withTaskGroup(of: End.self) { group in
      group.addTask { .compared(await comparer.result(of: stopped.tree, changed: stopped.changed)) }
      group.addTask { .overdue(await holder.waitUntilOverdue()) }
      var result: Result<[ProcessReport], SluiceError>?
      for await end in group {
        switch end {
        case .overdue(let error?):
          result = result ?? .failure(error)
          patience.endSoon(error)
        case .overdue(nil): break
        case .compared(let compared): result = result ?? compared
        }
        // The first to end ends the other; the tree runs by then, or runs with that.
        group.cancelAll()
      }
      return result ?? .failure(.cancelled)
    }.get()
  }

  private enum End: Sendable {
    case compared(Result<[ProcessReport], SluiceError>)
    case overdue(SluiceError?)
  }
}

/// Holds a tree still, on a thread of its own.
private actor TreeHolder {
  private nonisolated let executor: ThreadExecutor
  private var held: StoppedTree?

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  init(executor: ThreadExecutor) {
    self.executor = executor
  }

  /// What goes on writing while the tree stands still cannot be compared.
  private static func refuseOutsiders(of tree: inout ProcessTree) throws(SluiceError) {
    try onTarget { () throws(TargetError) in try tree.lookOutside() }
    if let outsider = tree.outsiders.first(where: \.isCertain) { throw SluiceError(outsider) }
  }

  /// - Parameter stuck: is called when this actor's thread is in the kernel for longer than the tree may stand still.
  /// - Returns: the tree as it stands still, and what the stop itself has changed of each process, by its pid.
  func stop(
    _ tree: ProcessTree, limit: Duration, stuck: @escaping @Sendable (TargetError) -> Void
  ) throws(SluiceError) -> (tree: ProcessTree, changed: [Int32: [Range<UInt64>]]) {
    var tree = tree
    var changed: [Int32: [Range<UInt64>]] = [:]
    try Self.refuseOutsiders(of: &tree)
    do throws(TargetError) {
      var stopped = try StoppedTree(of: tree, freezing: nil, limit: limit, stuck: stuck)
      try stopped.stop(&tree)
      for process in tree.processes { changed[process.pid] = try stopped.changedByStop(in: process) }
      held = consume stopped
    } catch {
      throw SluiceError(error)
    }
    // One may have appeared until all stood still.
    do throws(SluiceError) { try Self.refuseOutsiders(of: &tree) } catch {
      resume()
      throw error
    }
    return (tree, changed)
  }

  /// Waits until the tree has been held for as long as it may be, or the task is cancelled, and lets go of it.
  ///
  /// - Returns: the error for the first of these.
  func waitUntilOverdue() async -> SluiceError? {
    defer { resume() }
    guard let lease = lease else { return nil }
    do { try await Task.sleep(until: lease.deadline, clock: .continuous) } catch { return nil }
    return SluiceError(lease.isOver("all of them was compared"))
  }

  private var lease: StopLease? {
    switch held {
    case .some(let stopped): stopped.lease
    case .none: nil
    }
  }

  private func resume() {
    guard var stopped = held.take() else { return }
    stopped.resume()
  }
}

/// Does the comparing, on a thread of its own.
private actor Comparer {
  private nonisolated let executor: ThreadExecutor
  private let check: ContentsCheck
  private var image = [UInt8](repeating: 0, count: 1 << 20)
  private var memory = [UInt8](repeating: 0, count: 1 << 20)
  private var table: [MemoryRun]
  private let pageSize = UInt64(sluice_page_size())
  private var chain: ImageChain?
  private var names: Set<String> = []
  private var subject: ImagesSubject?
  /// What the stop itself has changed of the process that is compared.
  private var changedByStop: [Range<UInt64>] = []
  private var bootID = ""

  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

  init(check: ContentsCheck, executor: ThreadExecutor) {
    self.check = check
    self.executor = executor
    table = Array(repeating: MemoryRun(address: 0, length: 0), count: (1 << 20) / Int(sluice_page_size()))
  }

  /// Opens the images.
  ///
  /// - Returns: the tree of the process that they are to be of.
  func open() throws(SluiceError) -> ProcessTree {
    let chain = try onImages { () throws(ImagesError) in
      try ImageChain(path: check.directory, trust: Trust(everybody: check.trustsParents))
    }
    names = try onImages { () throws(ImagesError) in try Set(chain.pagemapNames()) }
    let subject = try onImages { () throws(ImagesError) in try ImagesSubject(of: chain) }
    bootID = try onTarget { () throws(TargetError) in try Uptime.bootID() }
    self.chain = chain
    self.subject = subject
    let pid = check.pid
    return try onTarget { () throws(TargetError) in try ProcessTree(root: pid, known: subject.identities) }
  }

  /// Compares the processes of a tree that stands still.
  func result(
    of tree: ProcessTree, changed: [Int32: [Range<UInt64>]]
  ) -> Result<[ContentsCheck.ProcessReport], SluiceError> {
    do throws(SluiceError) { return .success(try compare(tree, changed)) } catch { return .failure(error) }
  }

  private func compare(
    _ tree: ProcessTree, _ changed: [Int32: [Range<UInt64>]]
  ) throws(SluiceError) -> [ContentsCheck.ProcessReport] {
    guard let chain, let subject else { preconditionFailure("the images are opened first") }
    var reports: [ContentsCheck.ProcessReport] = []
    for process in tree.processes {
      let name = "pagemap-\(process.namespacePid).img"
      let isAnother = subject.isAnother(
        process.identity, bootID: bootID, ticksPerSecond: Uptime.ticksPerSecond)
      let pagemap = try onImages { () throws(ImagesError) in
        names.contains(name) && !isAnother ? try ChainPagemap(name: name, in: chain) : nil
      }
      changedByStop = changed[process.pid] ?? []
      reports.append(try compare(process, with: pagemap))
    }
    return reports
  }

  /// Walks the process' pages and the images' side by side, upwards.
  private func compare(
    _ process: TargetProcess, with pagemap: ChainPagemap?
  ) throws(SluiceError) -> ContentsCheck.ProcessReport {
    var report = ContentsCheck.ProcessReport(
      pid: process.pid, namespacePid: process.namespacePid, hasImages: pagemap != nil)
    var images = ImagePages(pagemap: pagemap, pageSize: pageSize)
    var walk = try onTarget { () throws(TargetError) in
      try PageWalk(of: process, source: check.pageStates.source)
    }
    while let vma = try onTarget({ () throws(TargetError) in try walk.nextMapping()?.vma }) {
      report.unmapped += try images.skip(to: vma.start)
      var pages = ContentsCheck.Pages()
      // What the images have of a mapping that is not taken is of something that was in its place before.
      while try onTarget({ () throws(TargetError) in try walk.nextOfMapping() }) {
        for index in walk.runs.indices {
          let scanned = walk.runs[index].run
          let run = scanned.address..<scanned.address + scanned.length
          pages.gone += try images.skip(to: run.lowerBound)
          try compare(run, of: process, with: &images, into: &pages)
        }
      }
      pages.gone += try images.skip(to: vma.end)
      report.pages += pages
      if pages.differing + pages.missing + pages.gone > 0 {
        report.mappings.append(
          ContentsCheck.Mapping(start: vma.start, end: vma.end, name: vma.name, pages: pages))
      }
    }
    report.unmapped += try images.skip(to: UInt64.max)
    report.pages.gone += report.unmapped
    return report
  }

  private func compare(
    _ run: Range<UInt64>, of process: TargetProcess, with images: inout ImagePages,
    into pages: inout ContentsCheck.Pages
  ) throws(SluiceError) {
    var position = run.lowerBound
    while position < run.upperBound {
      guard !Task.isCancelled else { throw .cancelled }
      let part = position..<min(run.upperBound, position + UInt64(memory.count))
      let (isThere, end) = try images.next(in: part)
      let count = (end - position) / pageSize
      if isThere {
        let differing = try countDiffering(position..<end, of: process, in: images)
        pages.differing += differing
        pages.equal += count - differing
      } else {
        pages.missing += count
      }
      position = end
    }
  }

  /// How many pages of a range that both have differ.
  private func countDiffering(
    _ range: Range<UInt64>, of process: TargetProcess, in images: borrowing ImagePages
  ) throws(SluiceError) -> UInt64 {
    let byteCount = range.upperBound - range.lowerBound
    table[0] = MemoryRun(address: range.lowerBound, length: byteCount)
    let remote = RemoteMemory(of: process)
    let got = try onTarget { () throws(TargetError) in
      try Self.read(remote, &table, &memory, Int(byteCount))
    }
    // A page that is there and cannot be read is an error; one that stands still does not vanish.
    guard got == byteCount else { return byteCount / pageSize }
    try images.read(range, into: &image)
    var differing: UInt64 = 0
    for page in 0..<Int(byteCount / pageSize) {
      let bytes = page * Int(pageSize)..<(page + 1) * Int(pageSize)
      // memcmp, for the process stands still meanwhile: comparing slices takes 30 times as long in debug builds.
      let isEqual = unsafe image.withUnsafeBytes { image in
        unsafe memory.withUnsafeBytes { memory in
          unsafe memcmp(
            UnsafeRawBufferPointer(rebasing: image[bytes]).baseAddress!,
            UnsafeRawBufferPointer(rebasing: memory[bytes]).baseAddress!, bytes.count) == 0
        }
      }
      if !isEqual, !isOfOurStop(bytes, at: range.lowerBound) { differing += 1 }
    }
    return differing
  }

  /// Whether all that differs of a page is what the stop itself has changed.
  ///
  /// - Parameters:
  ///   - page: its place among the bytes that were read.
  ///   - start: the address of the first of these.
  private func isOfOurStop(_ page: Range<Int>, at start: UInt64) -> Bool {
    let addresses = start + UInt64(page.lowerBound)..<start + UInt64(page.upperBound)
    let changed = changedByStop.filter { $0.overlaps(addresses) }
    guard !changed.isEmpty else { return false }
    return page.allSatisfy { byte in
      image[byte] == memory[byte] || changed.contains { $0.contains(start + UInt64(byte)) }
    }
  }

  private static func read(
    _ remote: RemoteMemory, _ table: inout [MemoryRun], _ memory: inout [UInt8], _ byteCount: Int
  ) throws(TargetError) -> UInt64 {
    var outcome: Result<RemoteMemory.Outcome, TargetError>?
    var turns = MmapLockPacer()
    unsafe table.withUnsafeMutableBufferPointer { table in
      unsafe memory.withUnsafeMutableBytes { bytes in
        do throws(TargetError) {
          outcome = .success(
            unsafe try remote.read(
              table: table, runCount: 1,
              into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<byteCount]), turns: &turns))
        } catch {
          outcome = .failure(error)
        }
      }
    }
    return UInt64(try outcome?.get().byteCount ?? 0)
  }
}

/// The pages that images have, from low addresses to high ones.
private struct ImagePages {
  private let pagemap: ChainPagemap?
  private let pageSize: UInt64
  /// What is left of the entry that was come to last.
  private var current: Range<UInt64>?
  private var isAtEnd = false

  init(pagemap: ChainPagemap?, pageSize: UInt64) {
    self.pagemap = pagemap
    self.pageSize = pageSize
  }

  /// Passes all pages below an address.
  ///
  /// - Returns: how many that were.
  mutating func skip(to address: UInt64) throws(SluiceError) -> UInt64 {
    var skipped: UInt64 = 0
    while let range = try entry(), range.lowerBound < address {
      let end = min(range.upperBound, address)
      skipped += (end - range.lowerBound) / pageSize
      current = end < range.upperBound ? end..<range.upperBound : nil
    }
    return skipped
  }

  /// Whether the first pages of a range are there, and up to where that holds. They are passed.
  mutating func next(in range: Range<UInt64>) throws(SluiceError) -> (isThere: Bool, end: UInt64) {
    guard let entry = try entry(), entry.lowerBound < range.upperBound else {
      return (false, range.upperBound)
    }
    guard entry.lowerBound <= range.lowerBound else { return (false, entry.lowerBound) }
    let end = min(entry.upperBound, range.upperBound)
    current = end < entry.upperBound ? end..<entry.upperBound : nil
    return (true, end)
  }

  /// Reads pages that are there.
  func read(_ range: Range<UInt64>, into bytes: inout [UInt8]) throws(SluiceError) {
    var position = range.lowerBound
    while position < range.upperBound {
      do throws(ImagesError) {
        guard let pagemap else { return }
        let place = try pagemap.place(of: position..<range.upperBound)
        let part = Int(position - range.lowerBound)..<Int(place.end - range.lowerBound)
        try pagemap.read(place, into: &bytes, at: part)
        position = place.end
      } catch {
        throw SluiceError(error)
      }
    }
  }

  private mutating func entry() throws(SluiceError) -> Range<UInt64>? {
    if let current { return current }
    guard !isAtEnd, let pagemap else { return nil }
    guard let run = try onImages({ () throws(ImagesError) in try pagemap.next() }) else {
      isAtEnd = true
      return nil
    }
    current = run.address..<run.address + run.pageCount * pageSize
    return current
  }
}
