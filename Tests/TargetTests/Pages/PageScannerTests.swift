import CSluiceLinux
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Page scanner", .timeLimit(.minutes(15)))
struct PageScannerTests {
  private let page = ProcessMemory.pageSize
  /// Numbers of Documentation/admin-guide/mm/pagemap.rst, for /proc/kpageflags.
  private enum FrameFlag {
    static let hugePage: UInt64 = 1 << 22
    static let zeroPage: UInt64 = 1 << 24
  }

  /// From the kernel's version and not from the code under test, which may be wrong about it.
  static let sources: [PageScanner.Source] = Kernel.isAtLeast(6, 7) ? [.pagemapScan, .pagemap] : [.pagemap]

  /// What a scan finds between two addresses; runs that touch are joined, since steps cut them.
  private func scan(
    _ pid: Int32, from start: UInt64, to end: UInt64, source: PageScanner.Source?, isFileBacked: Bool = false
  ) throws -> [Range<UInt64>] {
    try fullScan(pid, from: start, to: end, source: source, isFileBacked: isFileBacked).runs
  }

  private func fullScan(
    _ pid: Int32, from start: UInt64, to end: UInt64, source: PageScanner.Source?,
    isFileBacked: Bool = false, swapped: SwappedPages = .read
  ) throws -> (runs: [Range<UInt64>], tally: PageTally) {
    var scanner = try PageScanner(of: TargetProcess(pid: pid), source: source, swapped: swapped)
    var found: [Range<UInt64>] = []
    var position = start
    while position < end {
      let next = try scanner.step(from: position, to: end, isFileBacked: isFileBacked)
      try #require(next > position && next <= end, "a step goes on, and not too far")
      for run in scanner.runs.map(\.run) {
        try #require(run.length > 0 && run.address >= position && run.address + run.length <= next)
        if let last = found.last, last.upperBound >= run.address {
          try #require(last.upperBound == run.address, "runs come in order")
          found[found.count - 1] = last.lowerBound..<run.address + run.length
        } else {
          found.append(run.address..<run.address + run.length)
        }
      }
      position = next
    }
    return (found, scanner.tally)
  }

  private struct Expected {
    var runs: [Range<UInt64>] = []
    var hugeZeroPages = 0
  }

  /// What the scan should find, entry by entry from /proc/PID/pagemap.
  private func expected(_ pid: Int32, in line: MapsLine) throws -> Expected {
    let entries = try ProcessMemory.pagemapEntries(of: pid, from: line.start, to: line.end)
    var expected = Expected()
    let frames = entries.filter { $0 >> 63 == 1 }.map { $0 & ((1 << 55) - 1) }
    let flags = Dictionary(
      zip(frames, try ProcessMemory.frameFlags(of: frames)), uniquingKeysWith: { one, _ in one })
    for (index, entry) in entries.enumerated() {
      let isPresent = entry >> 63 == 1
      guard isPresent || entry >> 62 & 1 == 1, entry >> 58 & 1 == 0 else { continue }
      // The bit stands for a clean page of a file only where there is a file.
      if line.inode != 0, entry >> 61 & 1 == 1 { continue }
      let flag = isPresent ? flags[entry & ((1 << 55) - 1)] ?? 0 : 0
      if flag & FrameFlag.zeroPage != 0 {
        if flag & FrameFlag.hugePage == 0 { continue }
        expected.hugeZeroPages += 1
      }
      let address = line.start + UInt64(index) * page
      if let last = expected.runs.last, last.upperBound == address {
        expected.runs[expected.runs.count - 1] = last.lowerBound..<address + page
      } else {
        expected.runs.append(address..<address + page)
      }
    }
    return expected
  }

  private func privateMappings(_ pid: Int32) throws -> [MapsLine] {
    let never = ["[vvar]", "[vvar_vclock]", "[vsyscall]", "[vdso]"]
    return try ProcessMemory.mappings(of: pid).filter {
      $0.permissions.hasSuffix("p") && !never.contains($0.name)
    }
  }

  @Test(
    arguments: sources,
    [
      ["--size", "32M"],
      ["--size", "96M", "--layout", "alternate"],
      ["--size", "32M", "--huge-pages", "yes"],
      ["--size", "1M", "--vmas", "2000"],
      ["--size", "1M", "--odd"],
    ])
  func findsWhatThePageTableSays(source: PageScanner.Source, options: [String]) async throws {
    try await MemoryTarget.run(options) { target in
      try await target.program.stop()
      var hugeZeroPages = 0
      for line in try privateMappings(target.pid) {
        let expected = try expected(target.pid, in: line)
        let found = try scan(
          target.pid, from: line.start, to: line.end, source: source, isFileBacked: line.inode != 0)
        #expect(found == expected.runs, "\(line)")
        hugeZeroPages += expected.hugeZeroPages
      }
      if options.contains("--odd") {
        #expect(hugeZeroPages > 0, "else the kernel gave no huge zero page, and nothing was tried")
      }
    }
  }

  @Test(arguments: sources)
  func findsMoreRegionsThanAStepHasRoomFor(source: PageScanner.Source) async throws {
    try await MappingTarget.run { target in
      let pages: UInt64 = 5000
      let start = try await target.map(pages: Int(pages))
      for index in stride(from: UInt64(1), to: pages, by: 2) {
        // MADV_DONTNEED
        try await target.tell("advise \(hexadecimal(start + index * page)) 1 4")
      }
      let found = try scan(target.pid, from: start, to: start + pages * page, source: source)
      #expect(found == (0..<pages / 2).map { start + 2 * $0 * page..<start + (2 * $0 + 1) * page })
    }
  }

  /// Behind the nothing there may be memory of which nothing is found either, but every page is looked at.
  @Test(.enabled(if: sources.contains(.pagemapScan))) func takesNoLongSteps() async throws {
    let bytes: UInt64 = 1 << 36
    try await MemoryTarget.run(["--size", "1M", "--sparse", "\(bytes >> 30)G", "--sparse-pages", "1"]) {
      target in
      let line = try #require(
        try ProcessMemory.mappings(of: target.pid).first(where: { $0.end - $0.start == bytes }))
      var scanner = try PageScanner(of: TargetProcess(pid: target.pid), source: .pagemapScan)
      var position = line.start
      var widest: UInt64 = 0
      while position < line.end {
        let next = try scanner.step(from: position, to: line.end, isFileBacked: false)
        widest = max(widest, next - position)
        position = next
      }
      #expect(widest > 16 << 20)
      #expect(widest <= 128 << 20)
    }
  }

  @Test(arguments: sources)
  func findsTheFewPagesOfAHugeMapping(source: PageScanner.Source) async throws {
    let bytes: UInt64 = 1 << 40
    let populated: UInt64 = 200
    let options = ["--size", "1M", "--sparse", "\(bytes >> 30)G", "--sparse-pages", "\(populated)"]
    try await MemoryTarget.run(options) { target in
      let line = try #require(
        try ProcessMemory.mappings(of: target.pid).first(where: { $0.end - $0.start == bytes }))
      let found = try scan(target.pid, from: line.start, to: line.end, source: source)
      let distance = bytes / page / populated * page
      #expect(found == (0..<populated).map { line.start + $0 * distance..<line.start + $0 * distance + page })
    }
  }

  @Test(arguments: sources)
  func takesOnlyWhatIsTheProcessesOwn(source: PageScanner.Source) async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        func found(_ start: UInt64, isFileBacked: Bool = false) throws -> [Range<UInt64>] {
          try scan(target.pid, from: start, to: start + 8 * page, source: source, isFileBacked: isFileBacked)
        }
        let unreadable = try await target.map(pages: 8)
        try await target.tell("protect \(hexadecimal(unreadable)) 8 none")
        #expect(try found(unreadable) == [unreadable..<unreadable + 8 * page])

        let untouched = try await target.tell("reserve 8")
        #expect(try found(untouched) == [])
        try await target.tell("read \(hexadecimal(untouched)) 8")
        #expect(try found(untouched) == [], "pages that were only read are the zero page")
        try await target.tell("fill \(hexadecimal(untouched + 3 * page)) 2")
        #expect(try found(untouched) == [untouched + 3 * page..<untouched + 5 * page])

        let file = try await target.tell("file \(directory)/file 8")
        #expect(try found(file, isFileBacked: true) == [])
        try await target.tell("fill \(hexadecimal(file + 7 * page)) 1")
        #expect(try found(file, isFileBacked: true) == [file + 7 * page..<file + 8 * page])
      }
    }
  }

  @Test(
    .enabled(if: Kernel.isAtLeast(6, 15), "the kernel tells guard regions since 6.15"), arguments: sources)
  func leavesGuardRegionsOut(source: PageScanner.Source) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      // MADV_GUARD_INSTALL
      try await target.tell("advise \(hexadecimal(start + 2 * page)) 3 102")
      let found = try fullScan(target.pid, from: start, to: start + 8 * page, source: source)
      #expect(found.runs == [start..<start + 2 * page, start + 5 * page..<start + 8 * page])
      #expect(found.tally.skippedGuard == 3)
      #expect(found.tally.swapped == 0, "the kernel calls them swapped, but they are not")
    }
  }

  /// Page tables without pages (VM_PFNMAP), as devices have them: the kernel's own are at hand.
  @Test(arguments: sources)
  func findsNothingInDeviceMemory(source: PageScanner.Source) async throws {
    try await MappingTarget.run { target in
      let line = try #require(try ProcessMemory.mappings(of: target.pid).first { $0.name == "[vvar]" })
      #expect(try scan(target.pid, from: line.start, to: line.end, source: source) == [])
    }
  }

  @Test func prefersTheScan() async throws {
    try await MappingTarget.run { target in
      let scanner = try PageScanner(of: TargetProcess(pid: target.pid))
      #expect(scanner.source == Self.sources.first)
    }
  }

  @Test func takesAMappingWhole() async throws {
    try await MappingTarget.run { target in
      let start = try await target.tell("reserve 8")
      var scanner = try PageScanner(of: TargetProcess(pid: target.pid))
      let end = try scanner.step(
        through: WalkPiece(range: start..<start + 8 * page, pages: .all, writes: .unseen))
      #expect(end == start + 8 * page)
      #expect(scanner.runs.map(\.run.address) == [start])
      #expect(scanner.runs.map(\.run.length) == [8 * page])
    }
  }

  @Test(arguments: sources)
  func countsWhatItLeavesOut(source: PageScanner.Source) async throws {
    try await MappingTarget.run { target in
      let start = try await target.tell("reserve 10000")
      try await target.tell("read \(hexadecimal(start)) 9000")
      try await target.tell("fill \(hexadecimal(start + 100 * page)) 2000")
      let found = try fullScan(target.pid, from: start, to: start + 10_000 * page, source: source)
      #expect(found.runs == [start + 100 * page..<start + 2100 * page])
      #expect(found.tally.skippedZero == 7000)
      #expect(found.tally.skippedGuard == 0)
      #expect(found.tally.swapped == 0)
    }
  }

  @Test(.enabled("there can be no swap space here") { await SwapFile.isPossible }, arguments: sources)
  func findsSwappedPages(source: PageScanner.Source) async throws {
    try await SwapFile.with {
      try await MappingTarget.run { target in
        let start = try await target.map(pages: 64)
        let end = start + 64 * page
        try await target.swapOut(start + 16 * page, pages: 32)
        let entries = try ProcessMemory.pagemapEntries(of: target.pid, from: start, to: end)
        let swapped = entries.indices.filter { entries[$0] >> 62 & 1 == 1 }
        try #require(swapped == Array(16..<48))

        let read = try fullScan(target.pid, from: start, to: end, source: source)
        #expect(read.runs == [start..<end])
        #expect(read.tally.swapped == 32)
        #expect(read.tally.skippedSwapped == 0)
        let skipped = try fullScan(target.pid, from: start, to: end, source: source, swapped: .skip)
        #expect(skipped.runs == [start..<start + 16 * page, start + 48 * page..<end])
        #expect(skipped.tally.swapped == 32)
        #expect(skipped.tally.skippedSwapped == 32)
      }
    }
  }

  /// Of memory that is gone the kernel's scan says nothing, not even that.
  @Test(arguments: sources)
  func saysThatTheMemoryIsGone(source: PageScanner.Source) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      var scanner = try PageScanner(of: TargetProcess(pid: target.pid), source: source)
      try await target.exit()
      let error = #expect(throws: TargetError.self) {
        _ = try scanner.step(from: start, to: start + 8 * page, isFileBacked: false)
      }
      #expect(error?.code == .gone)
      #expect(scanner.runs.isEmpty)
    }
  }
}
