import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Remote memory", .timeLimit(.minutes(15)))
struct RemoteMemoryTests {
  private let page = ProcessMemory.pageSize

  /// What one read got, copied out of its buffers.
  private struct Got {
    var outcome: RemoteMemory.Outcome
    var runs: [Range<UInt64>]
    var words: [UInt64]
  }

  private func read(_ process: TargetProcess, _ runs: [Range<UInt64>]) throws -> Got {
    let pages = runs.reduce(0) { $0 + Int(UInt64($1.count) / page) }
    let table = UnsafeMutableBufferPointer<MemoryRun>.allocate(capacity: pages)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: pages * Int(page), alignment: Int(page))
    defer {
      unsafe table.deallocate()
      unsafe bytes.deallocate()
    }
    unsafe table.initialize(repeating: MemoryRun())
    for (index, run) in runs.enumerated() {
      unsafe table[index] = MemoryRun(address: run.lowerBound, length: UInt64(run.count))
    }
    let memory = RemoteMemory(of: process)
    var turns = MmapLockPacer()
    let outcome = unsafe try memory.read(table: table, runCount: runs.count, into: bytes, turns: &turns)
    let kept = unsafe table[..<outcome.runCount].map { $0.address..<$0.address + $0.length }
    let words = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<outcome.byteCount])
      .bindMemory(to: UInt64.self)
    return unsafe Got(outcome: outcome, runs: kept, words: Array(words))
  }

  /// mapping-target fills its memory so that every word holds its own address.
  private func words(of runs: [Range<UInt64>]) -> [UInt64] {
    runs.flatMap { stride(from: $0.lowerBound, to: $0.upperBound, by: 8) }
  }

  private func expect(
    _ got: Got, runs: [Range<UInt64>], vanished: Int = 0, forced: Int = 0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let bytes = runs.reduce(0) { $0 + $1.count }
    let expected = RemoteMemory.Outcome(
      runCount: runs.count, byteCount: bytes, vanishedBytes: UInt64(vanished) * page,
      forcedBytes: UInt64(forced) * page)
    #expect(got.outcome == expected, sourceLocation: sourceLocation)
    #expect(got.runs == runs, sourceLocation: sourceLocation)
    #expect(got.words == words(of: runs), "every word is where it was", sourceLocation: sourceLocation)
  }

  @Test func readsWhatIsThere() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 64)
      let all = start..<start + 64 * page
      let process = try TargetProcess(pid: target.pid)
      expect(try read(process, [all]), runs: [all])
      let parts = [
        start..<start + page, start + 2 * page..<start + 9 * page, all.upperBound - page..<all.upperBound,
      ]
      expect(try read(process, parts), runs: parts)
    }
  }

  @Test func readsMoreRunsThanTheKernelTakesAtOnce() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 5000)
      let runs = (0..<UInt64(2500)).map { start + 2 * $0 * page..<start + (2 * $0 + 1) * page }
      let process = try TargetProcess(pid: target.pid)
      expect(try read(process, runs), runs: runs)
      // One hole in each batch of 1024, and one at the seam.
      for index in [3, 1023, 1024, 2499] {
        try await target.tell("unmap \(hexadecimal(runs[index].lowerBound)) 1")
      }
      let left = runs.enumerated().filter { ![3, 1023, 1024, 2499].contains($0.offset) }.map(\.element)
      expect(try read(process, runs), runs: left, vanished: 4)
    }
  }

  /// (the pages that are unmapped, of 16)
  @Test(arguments: [0..<1, 0..<5, 7..<8, 4..<12, 15..<16, 11..<16, 0..<16])
  func leavesAHoleOut(hole: Range<UInt64>) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 16)
      let after = try await target.map(pages: 2)
      let process = try TargetProcess(pid: target.pid)
      try await target.tell("unmap \(hexadecimal(start + hole.lowerBound * page)) \(hole.count)")
      let whole = [start..<start + 16 * page, after..<after + 2 * page].sorted {
        $0.lowerBound < $1.lowerBound
      }
      let left = [0..<hole.lowerBound, hole.upperBound..<16].filter { !$0.isEmpty }
        .map { start + $0.lowerBound * page..<start + $0.upperBound * page }
      let expected = (left + [after..<after + 2 * page]).sorted { $0.lowerBound < $1.lowerBound }
      expect(try read(process, whole), runs: expected, vanished: hole.count)
    }
  }

  @Test func leavesEveryOtherPageOut() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 101)
      let process = try TargetProcess(pid: target.pid)
      for index in stride(from: UInt64(0), to: 101, by: 2) {
        try await target.tell("unmap \(hexadecimal(start + index * page)) 1")
      }
      let left = stride(from: UInt64(1), to: 101, by: 2).map { start + $0 * page..<start + ($0 + 1) * page }
      expect(try read(process, [start..<start + 101 * page]), runs: left, vanished: 51)
    }
  }

  @Test func readsWhatCameBack() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 16)
      let process = try TargetProcess(pid: target.pid)
      try await target.tell("unmap \(hexadecimal(start)) 16")
      try await target.tell("again \(hexadecimal(start + 4 * page)) 4")
      let back = start + 4 * page..<start + 8 * page
      expect(try read(process, [start..<start + 16 * page]), runs: [back], vanished: 12)
    }
  }

  /// (the pages that the process may not read, of 16)
  @Test(arguments: [0..<1, 6..<9, 15..<16, 0..<16])
  func readsWhatTheProcessItselfMayNot(hidden: Range<UInt64>) async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 16)
      let process = try TargetProcess(pid: target.pid)
      try await target.tell("protect \(hexadecimal(start + hidden.lowerBound * page)) \(hidden.count) none")
      let got = try read(process, [start..<start + 16 * page])
      #expect(got.runs == [start..<start + 16 * page])
      #expect(got.words == words(of: got.runs))
      #expect(got.outcome.vanishedBytes == 0)
      // /proc/PID/mem reads on to the run's end, so what follows the hidden pages may be counted too.
      #expect(got.outcome.forcedBytes >= UInt64(hidden.count) * page)
      #expect(got.outcome.forcedBytes <= (16 - hidden.lowerBound) * page)
    }
  }

  @Test func tellsHolesFromHiddenPages() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 16)
      let process = try TargetProcess(pid: target.pid)
      try await target.tell("protect \(hexadecimal(start + 4 * page)) 4 none")
      try await target.tell("unmap \(hexadecimal(start + 6 * page)) 1")
      try await target.tell("unmap \(hexadecimal(start + 8 * page)) 8")
      let expected = [start..<start + 6 * page, start + 7 * page..<start + 8 * page]
      expect(try read(process, [start..<start + 16 * page]), runs: expected, vanished: 9, forced: 3)
    }
  }

  /// The mapping is still there, but its pages are not: the file became shorter.
  @Test func leavesOutWhatAFileNoLongerHas() async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        let start = try await target.tell("file \(directory)/file 8")
        try await target.tell("fill \(hexadecimal(start)) 8")
        let process = try TargetProcess(pid: target.pid)
        try FileHandle(forWritingTo: URL(fileURLWithPath: "\(directory)/file")).truncate(atOffset: 3 * page)
        expect(try read(process, [start..<start + 8 * page]), runs: [start..<start + 3 * page], vanished: 5)
      }
    }
  }

  /// What is asked for below a stack that has become shorter is not there; asking must not make it grow again.
  @Test func doesNotHaveAStackGrow() async throws {
    try await MappingTarget.run { target in
      let start = try await target.tell("stack 16")
      let process = try TargetProcess(pid: target.pid)
      try await target.tell("unmap \(hexadecimal(start)) 8")
      func lowest() throws -> UInt64? {
        try ProcessMemory.mappings(of: target.pid).first { $0.end == start + 16 * page }?.start
      }
      try #require(try lowest() == start + 8 * page)
      let left = [start + 8 * page..<start + 16 * page]
      expect(try read(process, [start..<start + 16 * page]), runs: left, vanished: 8)
      #expect(try lowest() == start + 8 * page)
      // The same where what is read through /proc/PID/mem ends there.
      let hidden = try await target.tell("stack 16")
      try await target.tell("unmap \(hexadecimal(hidden + 4 * page)) 4")
      try await target.tell("protect \(hexadecimal(hidden)) 4 none")
      let parts = [hidden..<hidden + 4 * page, hidden + 8 * page..<hidden + 16 * page]
      expect(
        try read(process, [hidden..<hidden + 16 * page]), runs: parts, vanished: 4, forced: 4)
      let mapped = try ProcessMemory.mappings(of: target.pid)
      #expect(!mapped.contains { $0.start < hidden + 8 * page && hidden + 4 * page < $0.end })
    }
  }

  /// Dropped pages read as zeros, as the process itself would read them.
  @Test func readsDroppedPagesAsZeros() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let process = try TargetProcess(pid: target.pid)
      // MADV_DONTNEED
      try await target.tell("advise \(hexadecimal(start + 2 * page)) 3 4")
      let got = try read(process, [start..<start + 8 * page])
      let dropped = start + 2 * page..<start + 5 * page
      #expect(got.runs == [start..<start + 8 * page])
      #expect(got.outcome.vanishedBytes == 0)
      #expect(got.words == words(of: got.runs).map { dropped.contains($0) ? 0 : $0 })
    }
  }

  /// A guard region looks like swapped pages, and yet holds nothing.
  @Test(.enabled(if: Kernel.isAtLeast(6, 15), "the kernel tells guard regions since 6.15"))
  func leavesGuardRegionsOut() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let process = try TargetProcess(pid: target.pid)
      // MADV_GUARD_INSTALL
      try await target.tell("advise \(hexadecimal(start + 2 * page)) 3 102")
      let left = [start..<start + 2 * page, start + 5 * page..<start + 8 * page]
      expect(try read(process, [start..<start + 8 * page]), runs: left, vanished: 3)
    }
  }

  /// A page that is there and cannot be read must fail the copy: left out silently, it would be a hole in
  /// the image.
  @Test(.enabled(if: Kernel.isAtLeast(6, 6), "pages can be poisoned since 6.6"))
  func refusesAPageThatIsThereAndCannotBeRead() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let process = try TargetProcess(pid: target.pid)
      let poisoned = start + 3 * page
      try await target.tell("poison \(hexadecimal(poisoned)) 1")
      let error = #expect(throws: TargetError.self) { _ = try read(process, [start..<start + 8 * page]) }
      #expect(error?.code == .unreadable)
      #expect(error?.description.contains(hexadecimal(poisoned)) == true, "the message names the page")
    }
  }

  /// Nobody answers the faults: who waits for that waits for good.
  @Test(.needsRoot) func doesNotWaitForWhoAnswersFaults() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 64)
      try await target.tell("catch-faults \(hexadecimal(start)) 64")
      let process = try TargetProcess(pid: target.pid)
      #expect(process.answersFaults)
      // MADV_DONTNEED
      try await target.tell("advise \(hexadecimal(start + 8 * page)) 4 4")
      try await target.tell("unmap \(hexadecimal(start + 32 * page)) 8")
      try await target.tell("protect \(hexadecimal(start + 48 * page)) 2 none")
      let left = [0..<8, 12..<32, 40..<64].map {
        start + UInt64($0.lowerBound) * page..<start + UInt64($0.upperBound) * page
      }
      expect(try read(process, [start..<start + 64 * page]), runs: left, vanished: 12)
    }
  }

  @Test func saysThatTheProcessHasEnded() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let process = try TargetProcess(pid: target.pid)
      try await target.exit()
      let error = #expect(throws: TargetError.self) { _ = try read(process, [start..<start + 8 * page]) }
      #expect(error?.code == .gone)
    }
  }

  @Test func saysThatTheProcessExecutedAnotherProgram() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let process = try TargetProcess(pid: target.pid)
      try process.checkStillTheSame()
      try await target.tell("exec")
      let mapped = try ProcessMemory.mappings(of: target.pid)
      try #require(!mapped.contains(where: { $0.start < start + 8 * page && start < $0.end }))
      let error = #expect(throws: TargetError.self) { _ = try read(process, [start..<start + 8 * page]) }
      #expect(error?.code == .gone)
      #expect(error?.description.contains("executed another program") == true)
    }
  }
}
