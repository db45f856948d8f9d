import Foundation
import SluiceTestSupport
import Testing

@testable import Sluice

/// Cores of processes that stand still at the end of a run, compared byte by byte with their memory.
@Suite("CoreDump", .timeLimit(.minutes(15)))
struct CoreDumpTests {
  /// Makes a core; after the first round, `change` is told, and then the process stands still.
  private static func dump(
    _ program: Program, to path: String, rounds: Int = 3,
    _ set: (inout CoreDump.Configuration) -> Void = { _ in },
    afterFirst change: @escaping @Sendable () throws -> Void = {}
  ) async throws -> CoreReport {
    var configuration = CoreDump.Configuration(pid: program.pid, path: path)
    configuration.policy.rounds = rounds
    // As many rounds as that, whatever they find.
    (configuration.policy.untilPages, configuration.policy.untilSkippedPercent) = (0, 101)
    configuration.policy.maxGrowthPages = .max
    configuration.copying.memoryBudget = 8 << 20
    set(&configuration)
    let failure = Failures()
    let pid = program.pid
    if rounds == 0 { try await program.stop() }
    let report = try await CoreDump(configuration).run { number, _ in
      guard number == 1 else { return }
      failure.run {
        try change()
        kill(pid, SIGSTOP)
        while try !Program.isStopped(pid) { usleep(100) }
      }
    }
    try failure.check()
    return report
  }

  /// What went wrong in a closure that may not throw.
  private final class Failures: @unchecked Sendable {
    private let lock = NSLock()
    private var error: (any Error)?

    func run(_ body: () throws -> Void) {
      do { try body() } catch { lock.withLock { self.error = error } }
    }

    func check() throws { if let error = lock.withLock({ error }) { throw error } }
  }

  @Test(arguments: [0, 1, 3]) func `has every kind of memory as it is when the process stops`(
    rounds: Int
  ) async throws {
    let options = ["--size", "4M", "--layout", "alternate", "--odd", "--vmas", "200", "--sleepers", "3"]
    try await MemoryTarget.run(options) { target in
      try await withTemporaryDirectory { directory in
        let report = try await Self.dump(target.program, to: "\(directory)/core", rounds: rounds)
        #expect(report.rounds.count == rounds + 1)
        try await CoreTools.compareWithMemory("\(directory)/core", pid: target.pid)
        #expect(report.cores.map(\.path) == ["\(directory)/core"])
        #expect(try #require(report.cores.first).threads >= 4)
        target.program.resume()
        try await target.check()
      }
    }
  }

  /// Memory that is written, given up, unmapped, moved or mapped anew between rounds.
  @Test func `has what changed between rounds`() async throws {
    try await MappingTarget.run { target in
      try await withTemporaryDirectory { directory in
        let pages = 300
        var areas: [UInt64] = []
        for _ in 0..<6 { areas.append(try await target.map(pages: pages)) }
        for area in areas { try await target.tell("fill \(hexadecimal(area)) \(pages)") }
        let (rewritten, zeroed, givenUp, unmapped, moved, replaced) = (
          areas[0], areas[1], areas[2], areas[3], areas[4], areas[5]
        )
        let kept = areas
        _ = try await Self.dump(
          target.program, to: "\(directory)/core",
          afterFirst: {
            try target.tellNow("stamp \(hexadecimal(rewritten)) 100 77")
            try target.tellNow("stamp \(hexadecimal(zeroed)) \(pages) 0")
            // MADV_DONTNEED
            try target.tellNow("advise \(hexadecimal(givenUp)) 200 4")
            try target.tellNow("unmap \(hexadecimal(unmapped)) \(pages)")
            try target.tellNow("move \(hexadecimal(moved)) \(pages)")
            try target.tellNow("unmap \(hexadecimal(replaced)) \(pages)")
            try target.tellNow("again \(hexadecimal(replaced)) 10")
            try target.tellNow("map 700")
            try target.waitUntilIdle()
          })
        try await CoreTools.compareWithMemory("\(directory)/core", pid: target.pid)
        #expect(kept.count == 6)
      }
    }
  }

  /// What a process wants in no core is in none: neither what it said before, nor what it said meanwhile.
  @Test func `leaves out what the process wants left out`() async throws {
    try await MappingTarget.run { target in
      try await withTemporaryDirectory { directory in
        let (before, meanwhile) = (try await target.map(pages: 50), try await target.map(pages: 50))
        for area in [before, meanwhile] {
          try await target.tell("stamp \(hexadecimal(area)) 50 \(0x5345_4352_4554)")
        }
        // MADV_DONTDUMP
        try await target.tell("advise \(hexadecimal(before)) 50 16")
        _ = try await Self.dump(
          target.program, to: "\(directory)/core", rounds: 2,
          afterFirst: {
            try target.tellNow("advise \(hexadecimal(meanwhile)) 50 16")
            try target.waitUntilIdle()
          })
        try await CoreTools.compareWithMemory("\(directory)/core", pid: target.pid)
        let core = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/core"))
        #expect(core.range(of: Data("TERCES".utf8)) == nil)
      }
    }
  }

  /// A file that is there is not replaced, unless that was asked for; and one that cannot be made stops nothing.
  @Test func `does not replace a file`() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let path = "\(directory)/core"
        try Data("mine".utf8).write(to: URL(fileURLWithPath: path))
        await #expect {
          _ = try await CoreDump(.init(pid: target.pid, path: path)).run()
        } throws: { ($0 as? SluiceError)?.code == .cannotCreate }
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("mine".utf8))
        _ = try await Self.dump(target.program, to: path, rounds: 1) { $0.replacesFiles = true }
        try await CoreTools.compareWithMemory(path, pid: target.pid)
        #expect(names(in: directory) == ["core"])
      }
    }
  }

  @Test func `of a tree has each process its core, all of one moment`() async throws {
    try await TreeTarget.run([["--size", "1M"], ["--size", "2M"]]) { target in
      try await withTemporaryDirectory { directory in
        var configuration = CoreDump.Configuration(pid: target.pid, path: "\(directory)/core.{pid}")
        configuration.includesDescendants = true
        let report = try await CoreDump(configuration).run()
        #expect(report.cores.count > 1)
        #expect(Set(report.cores.map(\.path)) == Set(report.cores.map { "\(directory)/core.\($0.pid)" }))
        #expect(Set(names(in: directory) ?? []) == Set(report.cores.map { "core.\($0.pid)" }))
      }
    }
  }

  @Test func `that is cancelled leaves no file`() async throws {
    try await MemoryTarget.run(["--size", "64M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        for delay in [0, 1, 5, 20, 60] {
          let dump = Task {
            try await CoreDump(.init(pid: target.pid, path: "\(directory)/core")).run()
          }
          try await Task.sleep(for: .milliseconds(delay))
          dump.cancel()
          switch await dump.result {
          case .success: try FileManager.default.removeItem(atPath: "\(directory)/core")
          case .failure(let error):
            #expect((error as? SluiceError)?.code == .cancelled, "\(error)")
            #expect(names(in: directory) == [])
          }
        }
        try await target.check()
      }
    }
  }
}
