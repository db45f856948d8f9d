import CSluiceLinux
import SluiceTestSupport
import Testing

@testable import SluiceTarget

extension StagesTests {
  /// That whoever holds the mmap_lock of a process again and again leaves it alone in between: each call takes a turn's
  /// length here, so that there must be a gap after each, however fast the machine is.
  @Suite("Gaps between holds of the mmap_lock", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct LockGapsTests {
    /// Who holds it.
    enum Holder: String, CaseIterable, Codable, Sendable {
      case scanOfPages, scanForUnwatched, read, endOfProtection
    }

    @Test(arguments: Holder.allCases)
    func areThere(holder: Holder) async throws {
      try await MappingTarget.run { target in
        let start = try await target.map(pages: Int(LockHolds.pages))
        // More stretches of pages than one scan for unwatched ones can tell.
        for page in stride(from: UInt64(1), to: 1200, by: 2) {
          // MADV_DONTNEED
          try await target.tell("advise \(hexadecimal(start + page * ProcessMemory.pageSize)) 1 4")
        }
        try await withTemporaryDirectory { directory in
          let report = "\(directory)/report"
          await #expect(processExitsWith: .success) {
            [holder, pid = target.pid as Int32, start = start as UInt64, report = report as String] in
            await OwnProcess.report(to: report) { _ in
              let counts = try await blocking { try LockHolds(pid: pid, start: start).count(holder) }
              return "\(counts.holds) \(counts.gaps)"
            }
          }
          let text = OwnProcess.reported(at: report)
          let numbers = text.split(separator: " ").compactMap { Int($0) }
          try #require(numbers.count == 2, "\(text)")
          let (holds, gaps) = (numbers[0], numbers[1])
          #expect(holds >= 3, "calls that hold the lock")
          // What else is watched of the process ends with gaps, too.
          #expect(holder == .endOfProtection ? gaps >= holds : gaps == holds, "a gap after each: \(text)")
        }
      }
    }

    /// While long runs are copied, the lock is free for longer than it is held.
    @Test func areNotThereBetweenLongReads() async throws {
      try await MappingTarget.run { target in
        let start = try await target.map(pages: Int(LockHolds.pages))
        try await withTemporaryDirectory { directory in
          let report = "\(directory)/report"
          await #expect(processExitsWith: .success) {
            [pid = target.pid as Int32, start = start as UInt64, report = report as String] in
            await OwnProcess.report(to: report) { _ in
              let counts = try await blocking { try LockHolds(pid: pid, start: start).countLongReads() }
              return "\(counts.holds) \(counts.gaps)"
            }
          }
          #expect(OwnProcess.reported(at: report) == "4 0")
        }
      }
    }
  }
}

/// Has something hold the lock, and counts the calls and the gaps.
///
/// For a process of its own: it makes system calls of the whole process take their time.
private struct LockHolds {
  /// More than a scan covers in one step.
  static let pages = 3 * PagemapScan.populatedStepBytes / ProcessMemory.pageSize

  let pid: Int32
  let start: UInt64

  typealias Counts = (holds: Int, gaps: Int)

  private var range: Range<UInt64> { start..<start + Self.pages * ProcessMemory.pageSize }

  func count(_ holder: StagesTests.LockGapsTests.Holder) throws -> Counts {
    let process = try TargetProcess(pid: pid)
    switch holder {
    case .scanOfPages:
      var scanner = try PageScanner(of: process, source: .pagemapScan)
      return try count(.pagemapScan) {
        var position = range.lowerBound
        while position < range.upperBound {
          position = try scanner.step(from: position, to: range.upperBound, isFileBacked: false)
        }
      }
    case .scanForUnwatched:
      return try count(.pagemapScan) {
        var found = DirtySet(byteCount: DirtySet.smallestBytes, processCount: 1)
        found.beginProcess()
        try UnregisteredScan(of: process).collect(range, into: &found)
      }
    case .read:
      // Every other page, of which there are more than one call takes.
      let page = ProcessMemory.pageSize
      return try countReads(
        of: process, (0..<256).map { MemoryRun(address: start + 2 * UInt64($0) * page, length: page) })
    case .endOfProtection:
      var injector = Injector()
      var protection: WriteProtection? = try WriteProtection(of: process, by: &injector)
      try protection?.protectAll(swapped: .read)
      let gaps = try count(.userfault) { protection = nil }.gaps
      // Of these calls only those hold the lock for long that lift the protection, in steps.
      return (Int(Self.pages * ProcessMemory.pageSize / PagemapScan.populatedStepBytes), gaps)
    }
  }

  func countLongReads() throws -> Counts {
    let length = 16 * ProcessMemory.pageSize
    return try countReads(
      of: TargetProcess(pid: pid),
      (0..<256).map { MemoryRun(address: start + 2 * UInt64($0) * length, length: length) })
  }

  private func countReads(of process: TargetProcess, _ runs: [MemoryRun]) throws -> Counts {
    let byteCount = runs.reduce(0) { $0 + Int($1.length) }
    let table = UnsafeMutableBufferPointer<MemoryRun>.allocate(
      capacity: byteCount / Int(ProcessMemory.pageSize))
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: byteCount, alignment: Int(ProcessMemory.pageSize))
    defer {
      unsafe table.deallocate()
      unsafe bytes.deallocate()
    }
    unsafe table.initialize(repeating: MemoryRun())
    for (index, run) in runs.enumerated() { unsafe table[index] = run }
    let memory = RemoteMemory(of: process)
    var turns = MmapLockPacer()
    return try count(.processRead) {
      _ = unsafe try memory.read(table: table, runCount: runs.count, into: bytes, turns: &turns)
    }
  }

  private func count(_ site: Faults.Site, _ body: () throws -> Void) throws -> Counts {
    // As long as a turn lasts: MmapLockPacer.
    Faults.start(.delay(site, microseconds: 1000))
    try body()
    let calls = Faults.stop().calls
    return (calls[Int(site.rawValue)], calls[Int(Faults.Site.leaveLock.rawValue)])
  }
}
