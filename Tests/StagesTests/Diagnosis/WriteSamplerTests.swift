import SluiceTarget
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  /// By write protection. Soft-dirty bits are tried in the guest of Tests/Interop, whose kernels keep them.
  @Suite("Write sampler", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct WriteSamplerTests {
    private let page = ProcessMemory.pageSize

    private func sampler(of target: MappingTarget) throws -> WriteProtectSampler {
      var injector = Injector()
      return try WriteProtectSampler(of: TargetProcess(pid: target.pid), by: &injector)
    }

    /// The numbers of those pages that a sample has.
    private func sampled(_ sampler: WriteProtectSampler, from start: UInt64, pages: UInt64) throws -> [UInt64]
    {
      var set = DirtySet(byteCount: 1 << 20, processCount: 1)
      set.beginProcess()
      try sampler.collect(into: &set)
      var cursor = set.cursor(ofProcess: 0)
      return (0..<pages).filter { number in
        cursor.next(in: start + number * page..<start + (number + 1) * page).isDirty
      }
    }

    @Test func tellsWhatWasWrittenSinceItBegan() async throws {
      try await MappingTarget.run { target in
        let start = try await target.map(pages: 16)
        let sampler = try sampler(of: target)
        // What was written before does not count.
        try sampler.begin()
        #expect(try sampled(sampler, from: start, pages: 16) == [])
        try await target.tell("read \(hexadecimal(start)) 16")
        for number in [2, 5, 6, 15] as [UInt64] {
          try await target.tell("stamp \(hexadecimal(start + number * page)) 1 7")
        }
        // Looking changes nothing: windows may overlap.
        for _ in 0..<2 { #expect(try sampled(sampler, from: start, pages: 16) == [2, 5, 6, 15]) }
        // Each beginning is a new one, also for pages that were written in the window before.
        try sampler.begin()
        #expect(try sampled(sampler, from: start, pages: 16) == [])
        try await target.tell("stamp \(hexadecimal(start + 5 * page)) 1 8")
        #expect(try sampled(sampler, from: start, pages: 16) == [5])
      }
    }

    /// A round would copy all that it has: so it counts as written until the next beginning, as far as there are pages.
    @Test func memoryThatIsNewCountsAsWritten() async throws {
      try await MappingTarget.run { target in
        let sampler = try sampler(of: target)
        try sampler.begin()
        let new = try await target.map(pages: 4)
        let empty = try await target.tell("reserve 4")
        try await target.tell("stamp \(hexadecimal(empty + page)) 1 7")
        #expect(try sampled(sampler, from: new, pages: 4) == [0, 1, 2, 3])
        #expect(try sampled(sampler, from: empty, pages: 4) == [1])
        try sampler.begin()
        #expect(try sampled(sampler, from: new, pages: 4) == [])
        try await target.tell("stamp \(hexadecimal(new + 3 * page)) 1 7")
        #expect(try sampled(sampler, from: new, pages: 4) == [3])
      }
    }

    /// Of a mapped file, pages are the process' own from the first write on.
    @Test func countsPagesOfFilesThatWereCopied() async throws {
      try await withTemporaryDirectory { directory in
        try await MappingTarget.run { target in
          let start = try await target.tell("file \(directory)/file 6")
          let sampler = try sampler(of: target)
          try sampler.begin()
          #expect(try sampled(sampler, from: start, pages: 6) == [])
          try await target.tell("read \(hexadecimal(start)) 6")
          try await target.tell("stamp \(hexadecimal(start + 4 * page)) 1 7")
          #expect(try sampled(sampler, from: start, pages: 6) == [4])
        }
      }
    }

    @Test func endsWithTheProcessAndLeavesNothingBehind() async throws {
      try await MappingTarget.run { target in
        do {
          let sampler = try sampler(of: target)
          try sampler.begin()
          // While it lasts nobody else can watch.
          #expect(throws: TargetError.self) { try self.sampler(of: target) }
        }
        let again = try sampler(of: target)
        try again.begin()
        try await target.exit()
        let error = #expect(throws: TargetError.self) { try again.begin() }
        #expect(error?.code == .gone)
      }
    }
  }
}
