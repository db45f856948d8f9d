import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

/// From the kernel's version and not from the code under test, which may be wrong about it.
private let protectsAsynchronously = Kernel.isAtLeast(6, 7)

@Suite("Write protection", .timeLimit(.minutes(15)), .enabled(if: protectsAsynchronously))
struct WriteProtectionTests {
  private let page = ProcessMemory.pageSize

  /// A process whose writes are watched, and what the next look at it finds.
  private struct Watched {
    let process: TargetProcess
    let protection: WriteProtection

    init(_ pid: Int32) throws {
      process = try TargetProcess(pid: pid)
      var injector = Injector()
      protection = try WriteProtection(of: process, by: &injector)
      try protection.protectAll(swapped: .read)
    }

    /// The pages between two addresses that were written since the last look, and protects them again.
    func written(from start: UInt64, to end: UInt64) throws -> [Range<UInt64>] {
      var walk = try PageWalk(
        of: process, by: protection, mode: .round(protects: true, seesSoftDirty: false, isFirst: false))
      var found: [Range<UInt64>] = []
      while try walk.next() {
        for run in walk.runs where run.mustCopy {
          let range = (run.run.address..<run.run.address + run.run.length).clamped(to: start..<end)
          if range.isEmpty { continue }
          if let last = found.last, last.upperBound == range.lowerBound {
            found[found.count - 1] = last.lowerBound..<range.upperBound
          } else {
            found.append(range)
          }
        }
      }
      return found
    }

    /// Whether an address is registered for write protection, as a look at it now has it.
    func isRegistered(_ address: UInt64) throws -> Bool {
      var pieces = WalkPieces(
        of: ListedMemory(of: process, refused: try protection.registerNew()), mode: .protectAll)
      while let piece = try pieces.next() {
        if piece.range.contains(address) { return true }
      }
      return false
    }
  }

  private func pages(_ start: UInt64, _ numbers: Range<UInt64>) -> Range<UInt64> {
    start + numbers.lowerBound * page..<start + numbers.upperBound * page
  }

  @Test func tellsExactlyThePagesThatWereWritten() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 600)
      let watched = try Watched(target.pid)
      #expect(try watched.written(from: start, to: start + 600 * page) == [])
      try await target.tell("stamp \(hexadecimal(start + 3 * page)) 1 7")
      try await target.tell("stamp \(hexadecimal(start + 500 * page)) 20 7")
      try await target.tell("read \(hexadecimal(start)) 600")
      #expect(
        try watched.written(from: start, to: start + 600 * page) == [
          pages(start, 3..<4), pages(start, 500..<520),
        ])
      #expect(try watched.written(from: start, to: start + 600 * page) == [])
      // What was told once is watched on.
      try await target.tell("stamp \(hexadecimal(start + 3 * page)) 1 8")
      #expect(try watched.written(from: start, to: start + 600 * page) == [pages(start, 3..<4)])
    }
  }

  @Test func memoryThatIsNewOrMovedCountsAsWritten() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let watched = try Watched(target.pid)
      let fresh = try await target.map(pages: 4)
      let moved = try await target.tell("move \(hexadecimal(start)) 8")
      #expect(try watched.written(from: fresh, to: fresh + 4 * page) == [pages(fresh, 0..<4)])
      #expect(try watched.written(from: moved, to: moved + 8 * page) == [])
      try await target.tell("stamp \(hexadecimal(moved + page)) 1 7")
      #expect(try watched.written(from: moved, to: moved + 8 * page) == [pages(moved, 1..<2)])
    }
  }

  @Test func memoryThatWasMovedIsToldWhole() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let watched = try Watched(target.pid)
      let moved = try await target.tell("move \(hexadecimal(start)) 8")
      #expect(try watched.written(from: moved, to: moved + 8 * page) == [pages(moved, 0..<8)])
    }
  }

  @Test func memoryThatReplacesOtherIsToldWhole() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let watched = try Watched(target.pid)
      try await target.tell("unmap \(hexadecimal(start)) 8")
      try await target.tell("again \(hexadecimal(start)) 8")
      #expect(try watched.written(from: start, to: start + 8 * page) == [pages(start, 0..<8)])
    }
  }

  @Test func memoryThatWasGivenUpAndTouchedAgainIsTold() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let watched = try Watched(target.pid)
      // MADV_DONTNEED
      try await target.tell("advise \(hexadecimal(start + 2 * page)) 2 4")
      try await target.tell("stamp \(hexadecimal(start + 2 * page)) 1 7")
      #expect(try watched.written(from: start, to: start + 8 * page) == [pages(start, 2..<3)])
    }
  }

  /// The kernel leaves marks that look like pages in swap, and not written.
  @Test func pagesOfAFileThatWereGivenUpAreTold() async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        let start = try await target.tell("file \(directory)/file 8")
        try await target.tell("stamp \(hexadecimal(start)) 8 7")
        let watched = try Watched(target.pid)
        #expect(try watched.written(from: start, to: start + 8 * page) == [])
        // MADV_DONTNEED
        try await target.tell("advise \(hexadecimal(start + 2 * page)) 3 4")
        #expect(try watched.written(from: start, to: start + 8 * page) == [pages(start, 2..<5)])
      }
    }
  }

  @Test func twoDoNotWatchTheSameMemory() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let watched = try Watched(target.pid)
      do throws(TargetError) {
        var injector = Injector()
        _ = try WriteProtection(of: try TargetProcess(pid: target.pid), by: &injector)
        Issue.record("each would take from the other what it knows")
      } catch {
        #expect(error.code == .trackedByAnother)
        #expect(error.description.contains("is watched already"), "\(error)")
      }
      try await target.tell("stamp \(hexadecimal(start)) 1 7")
      #expect(try watched.written(from: start, to: start + 8 * page) == [pages(start, 0..<1)])
    }
  }

  @Test func ofTwoThatBeginAtOnceOneWatches() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      for _ in 0..<20 {
        let begun = try await withThrowingTaskGroup(of: WriteProtection?.self) { group in
          for _ in 0..<2 {
            group.addTask {
              do throws(TargetError) {
                var injector = Injector()
                return try WriteProtection(of: try TargetProcess(pid: target.pid), by: &injector)
              } catch {
                #expect(error.code == .trackedByAnother, "\(error)")
                return nil
              }
            }
          }
          return try await group.reduce(into: [WriteProtection?]()) { $0.append($1) }
        }
        let watching = begun.compactMap { $0 }
        #expect(watching.count == 1)
        try watching.first?.protectAll(swapped: .read)
        let entries = try ProcessMemory.pagemapEntries(of: target.pid, from: start, to: start + 8 * page)
        #expect(entries.allSatisfy { $0 >> 57 & 1 == 1 })
      }
    }
  }

  /// A memory has one state of protection: what we take from it, the process is not told any more.
  @Test func whatTheProcessWatchesItselfIsLeftToIt() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      let watched = try Watched(target.pid)
      let fresh = try await target.map(pages: 8)
      try await target.tell("watch-itself \(hexadecimal(fresh)) 8")
      try await target.tell("stamp \(hexadecimal(fresh)) 3 7")
      try await target.tell("stamp \(hexadecimal(start)) 1 7")
      #expect(try watched.written(from: fresh, to: fresh + 8 * page) == [pages(fresh, 0..<8)])
      try watched.protection.protectAll(swapped: .read)
      #expect(try await target.tell("written \(hexadecimal(fresh)) 8") == 3)
      // It has looked: now nothing is written, and that is its news and not ours.
      #expect(try watched.written(from: fresh, to: fresh + 8 * page) == [pages(fresh, 0..<8)])
    }
  }

  @Test func whatTheProcessProtectsItselfStaysProtected() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      try await target.tell("catch-writes \(hexadecimal(start)) 8")
      func areProtected() throws -> Bool {
        let entries = try ProcessMemory.pagemapEntries(of: target.pid, from: start, to: start + 8 * page)
        return entries.allSatisfy { $0 >> 57 & 1 == 1 }
      }
      let before = try TargetState(target.pid)
      do {
        let watched = try Watched(target.pid)
        for _ in 0..<2 {
          #expect(try watched.written(from: start, to: start + 8 * page) == [pages(start, 0..<8)])
          #expect(try areProtected())
        }
        try watched.protection.unregisterFiles()
      }
      #expect(try areProtected())
      #expect(try TargetState(target.pid) == before)
    }
  }

  /// While it is watched, a new mapping takes one of these more often than otherwise.
  @Test func aProcessWithAlmostAllMappingsThatItMayHaveIsNotWatched() async throws {
    try await MappingTarget.run { target in
      let limit = try MappingRoom().limit
      try await target.tell("pieces \(limit - limit / 16)")
      do throws(TargetError) {
        var injector = Injector()
        _ = try WriteProtection(of: try TargetProcess(pid: target.pid), by: &injector)
        Issue.record("it could map nothing any more")
      } catch {
        #expect(error.code == .notTrackable)
        #expect(error.description.contains("vm.max_map_count"), "\(error)")
      }
    }
  }

  @Test func theWatchEndsBeforeAllMappingsAreTaken() async throws {
    try await MappingTarget.run { target in
      let watched = try Watched(target.pid)
      #expect(watched.protection.hasRoom)
      let limit = try MappingRoom().limit
      try await target.tell("pieces \(limit - limit / 32)")
      _ = try watched.protection.registerNew()
      #expect(!watched.protection.hasRoom)
      #expect(watched.protection.mappingCount > watched.protection.firstMappingCount)
    }
  }

  @Test func memoryThatSomebodyElseWatchesIsToldWholeEachTime() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 8)
      try await target.tell("catch-faults \(hexadecimal(start)) 8")
      let watched = try Watched(target.pid)
      for _ in 0..<2 {
        #expect(try watched.written(from: start, to: start + 8 * page) == [pages(start, 0..<8)])
      }
      let isRegistered = try watched.isRegistered(start)
      #expect(!isRegistered)
      let other = try await target.map(pages: 8)
      let isOtherRegistered = try watched.isRegistered(other)
      #expect(isOtherRegistered)
    }
  }

  @Test func nothingIsLeftOfIt() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 64)
      let before = try TargetState(target.pid)
      do {
        let watched = try Watched(target.pid)
        let during = try TargetState(target.pid)
        #expect(during.watchedMappings > 0)
        #expect(during.descriptors == before.descriptors)
        #expect(try watched.written(from: start, to: start + 64 * page) == [])
        let entries = try ProcessMemory.pagemapEntries(of: target.pid, from: start, to: start + 64 * page)
        #expect(entries.allSatisfy { $0 >> 57 & 1 == 1 })
      }
      #expect(try TargetState(target.pid) == before)
      let entries = try ProcessMemory.pagemapEntries(of: target.pid, from: start, to: start + 64 * page)
      #expect(entries.allSatisfy { $0 >> 57 & 1 == 0 })
      try await target.tell("stamp \(hexadecimal(start)) 64 7")
    }
  }

  /// To lift the protection of a part of one would split it, and khugepaged, which makes it whole again, dirties it.
  @Test func hugePagesStayWhole() async throws {
    try await MemoryTarget.run(["--size", "128M", "--huge-pages", "yes"]) { target in
      func hugeKibibytes() throws -> Int {
        let rollup = try ProcessMemory.text(ofFileAt: "/proc/\(target.pid)/smaps_rollup")
        let line = rollup.split(separator: "\n").first { $0.hasPrefix("AnonHugePages:") }
        return try #require(line?.split(separator: " ").dropFirst().first.flatMap { Int($0) })
      }
      let before = try hugeKibibytes()
      #expect(before >= 64 << 10, "there are huge pages")
      for _ in 0..<3 { _ = try Watched(target.pid) }
      #expect(try hugeKibibytes() >= before)
    }
  }

  @Test func anotherProgramIsNotTakenForTheSame() async throws {
    try await MappingTarget.run { target in
      let watched = try Watched(target.pid)
      #expect(try watched.protection.isOf(try TargetProcess(pid: target.pid)))
      try await target.tell("exec")
      #expect(try !watched.protection.isOf(try TargetProcess(pid: target.pid)))
    }
  }

  @Test func privateFilesCanBeLeftAlone() async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        try await target.tell("file \(directory)/file 4")
        let memory = try await target.map(pages: 4)
        let watched = try Watched(target.pid)
        let before = try TargetState(target.pid)
        try watched.protection.unregisterFiles()
        let after = try TargetState(target.pid)
        #expect(after.watchedFiles == 0)
        #expect(before.watchedFiles > 0, "the program's own data is a private mapping of its file")
        #expect(after.watchedMappings > 0)
        try await target.tell("stamp \(hexadecimal(memory)) 1 7")
        #expect(try watched.written(from: memory, to: memory + 4 * page) == [pages(memory, 0..<1)])
      }
    }
  }
}
