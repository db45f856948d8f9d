internal import CSluiceLinux
internal import Glibc
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTarget

/// Compares images with the memory of processes that stand still, on a thread of its own.
actor ContentsComparer {
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
          ContentsCheck.Mapping(
            start: vma.start, end: vma.end, name: vma.name, differing: pages.differing,
            missing: pages.missing, gone: pages.gone))
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
