import CSluiceLinux
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Page walk", .timeLimit(.minutes(15)))
struct PageWalkTests {
  private let page = ProcessMemory.pageSize

  private struct Found: Equatable {
    /// Runs that touch are joined: where steps end is of no matter.
    var runs: [Range<UInt64>] = []
    var mappings = 0
    var skipped: [SkipReason: Int] = [:]
    var tally = PageTally()

    mutating func add(_ runs: [ScannedRun]) {
      for found in runs {
        let run = found.run.address..<found.run.address + found.run.length
        if let last = self.runs.last, last.upperBound == run.lowerBound {
          self.runs[self.runs.count - 1] = last.lowerBound..<run.upperBound
        } else {
          self.runs.append(run)
        }
      }
    }

    mutating func end(_ walk: borrowing PageWalk) {
      (mappings, skipped, tally) = (walk.mappings, walk.skipped, walk.tally)
    }
  }

  private func areas(_ process: TargetProcess, _ source: PageScanner.Source) throws -> Found {
    var walk = try PageWalk(of: process, source: source)
    var found = Found()
    while try walk.next() { found.add(walk.runs) }
    found.end(walk)
    return found
  }

  private func mappings(_ process: TargetProcess, _ source: PageScanner.Source) throws -> Found {
    var walk = try PageWalk(of: process, source: source)
    var found = Found()
    while let (vma, treatment) = try walk.nextMapping() {
      var steps = 0
      while try walk.nextOfMapping() {
        steps += 1
        for run in walk.runs.map(\.run) {
          #expect(run.address >= vma.start && run.address + run.length <= vma.end, "\(vma.name)")
        }
        found.add(walk.runs)
      }
      if case .skip = treatment { #expect(steps == 0) } else { #expect(steps > 0) }
    }
    found.end(walk)
    return found
  }

  /// By areas and by mappings a walk finds the same, and by both ways to ask the kernel.
  @Test func findsTheSameInEveryWay() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 5000)
      for index in stride(from: UInt64(0), to: 40, by: 2) {
        try await target.tell("protect \(hexadecimal(start + index * page)) 1 r")
      }
      try await target.tell("read \(hexadecimal(try await target.tell("reserve 100"))) 10")
      try await target.tell("aio")
      try await target.program.stop()
      let process = try TargetProcess(pid: target.pid)
      let expected = try areas(process, PageScannerTests.sources[0])
      #expect(expected.runs.contains { $0.contains(start) && $0.contains(start + 4999 * page) })
      #expect(expected.tally.skippedZero >= 10)
      #expect(expected.mappings == (try ProcessMemory.mappings(of: target.pid).count))
      #expect(expected.skipped[.aio] == 1)
      let vdso = try #require(try ProcessMemory.mappings(of: target.pid).first { $0.name == "[vdso]" })
      #expect(expected.runs.contains { $0.contains(vdso.start) && $0.contains(vdso.end - 1) })
      for source in PageScannerTests.sources {
        #expect(try areas(process, source) == expected, "\(source)")
        #expect(try mappings(process, source) == expected, "\(source)")
      }
    }
  }

  @Test func passesOverTheRestOfAMapping() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 2 * Int(PagemapScan.populatedStepBytes / page))
      var walk = try PageWalk(of: TargetProcess(pid: target.pid))
      var steps = 0
      var last: UInt64 = 0
      while let (vma, _) = try walk.nextMapping() {
        let hasStep = try walk.nextOfMapping()
        guard hasStep else { continue }
        for run in walk.runs.map(\.run) {
          #expect(run.address >= vma.start && run.address + run.length <= vma.end)
        }
        if vma.start <= start && start < vma.end { steps += 1 }
        last = vma.end
      }
      #expect(steps == 1)
      #expect(last > start)
    }
  }

  /// Nothing tells that such pages were written, so a parent's may be old.
  @Test(arguments: PageScannerTests.sources)
  func hasCodeCopiedThatProbesMayHaveReplaced(source: PageScanner.Source) async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        let code = try await target.tell("file \(directory)/file 4")
        try await target.tell("fill \(hexadecimal(code)) 4")
        try await target.tell("protect \(hexadecimal(code)) 4 rx")
        let process = try TargetProcess(pid: target.pid)
        for leavesToParent in [false, true] {
          var walk = try PageWalk(of: process, source: source, leavesToParent: leavesToParent)
          var copied: Set<Bool> = []
          while try walk.next() {
            for run in walk.runs where run.run.address <= code && code < run.run.address + run.run.length {
              copied.insert(run.mustCopy)
            }
          }
          #expect(copied == [leavesToParent && KernelSupport.probesHideWrites])
        }
      }
    }
  }

  @Test(arguments: PageScannerTests.sources)
  func saysThatTheMemoryIsGone(source: PageScanner.Source) async throws {
    try await MappingTarget.run { target in
      _ = try await target.map(pages: 8)
      var walk = try PageWalk(of: TargetProcess(pid: target.pid), source: source)
      let hasStep = try walk.next()
      #expect(hasStep)
      try await target.exit()
      do throws(TargetError) {
        while try walk.next() {}
        Issue.record("the walk of a process that has ended ends well")
      } catch {
        #expect(error.code == .gone)
      }
    }
  }
}
