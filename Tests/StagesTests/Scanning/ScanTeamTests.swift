import CSluiceLinux
import Glibc
import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice
@testable import SluiceTarget

extension StagesTests {
  @Suite("Scan team")
  struct ScanTeamTests {
    private static func withTeam<Result>(
      of helpers: Int, _ body: (ScanTeam) async throws -> Result
    ) async throws -> Result {
      let threads = try (0..<helpers).map { try ThreadExecutor(name: "test-scan-\($0)") }
      let team = ScanTeam(helpers: threads)
      defer {
        team.end()
        for thread in threads { thread.shutdown() }
      }
      return try await body(team)
    }

    /// Runs one behind the other, without the cuts of steps and parts.
    private struct Joined: Equatable {
      var runs: [ClosedRange<UInt64>] = []

      mutating func add(_ found: [ScannedRun]) {
        for found in found {
          let (start, end) = (found.run.address, found.run.address + found.run.length)
          if let last = runs.last, last.upperBound == start {
            runs[runs.count - 1] = last.lowerBound...end
          } else {
            runs.append(start...end)
          }
        }
      }
    }

    private static func all(_ scan: any SharedScan, by team: ScanTeam) throws -> (Joined, PageTally) {
      var steps = TeamScan(scan, by: team)
      var joined = Joined()
      while try steps.next() { joined.add(steps.runs) }
      return (joined, steps.tally)
    }

    /// A memory that takes long to scan, each part of it another time; of each part one page is found.
    private final class Script: SharedScan {
      static let partBytes: UInt64 = 1 << 20
      let parts: Int
      let brokenPart: Int?
      let uncutPart: Int?
      private let next = Locked(0)
      private let scannerThreads = Locked<Set<pthread_t>>([])

      /// - Parameters:
      ///   - brokenPart: the part that cannot be scanned.
      ///   - uncutPart: the part that cannot be cut off.
      init(parts: Int, brokenPart: Int? = nil, uncutPart: Int? = nil) {
        (self.parts, self.brokenPart, self.uncutPart) = (parts, brokenPart, uncutPart)
      }

      /// How many threads have scanned a part.
      var threadCount: Int { scannerThreads.withLock { $0.count } }

      func cut(atMost byteCount: UInt64) throws(TargetError) -> ScanPart? {
        let part = next.withLock { next in
          defer { next += 1 }
          return next
        }
        guard part != uncutPart else { throw TargetError(.gone, "part \(part) cannot be cut off") }
        guard part < parts else { return nil }
        let start = UInt64(part) * Self.partBytes
        return ScanPart(
          piece: WalkPiece(range: start..<start + Self.partBytes, pages: .own, writes: .unseen))
      }

      func makeScanner() throws(TargetError) -> any PartScanner { Scanner(of: self) }

      private final class Scanner: PartScanner {
        private let script: Script
        private(set) var tally = PageTally()

        init(of script: Script) { self.script = script }

        func scan(_ part: ScanPart, into runs: inout [ScannedRun]) throws(TargetError) {
          let number = Int(part.piece.range.lowerBound / Script.partBytes)
          script.scannerThreads.withLock { _ = $0.insert(pthread_self()) }
          usleep(UInt32(100 + number * 7919 % 900))
          guard number != script.brokenPart else { throw TargetError(.gone, "part \(number) is broken") }
          tally.swapped += UInt64(number)
          runs = [
            ScannedRun(run: MemoryRun(address: part.piece.range.lowerBound, length: 4096), mustCopy: false)
          ]
        }
      }
    }

    /// The parts take different times, so that others overtake each.
    @Test(arguments: [1, 3])
    func `what several find comes in the order of addresses`(helpers: Int) async throws {
      try await Self.withTeam(of: helpers) { team in
        // A team has one process after the other.
        for parts in [100, 1, 0, 60] {
          let script = Script(parts: parts)
          let (found, tally) = try Self.all(script, by: team)
          #expect(found.runs.map(\.lowerBound) == (0..<parts).map { UInt64($0) * Script.partBytes })
          #expect(tally.swapped == UInt64(parts * max(0, parts - 1) / 2))
          if parts == 100 { #expect(script.threadCount == helpers + 1) }
        }
      }
    }

    /// What was found before it comes before the failure, whoever has come across it; and the next process is scanned then.
    @Test(arguments: [1, 3])
    func `a failure comes in its place`(helpers: Int) async throws {
      try await Self.withTeam(of: helpers) { team in
        for broken in [0, 1, 5, 30, 39] {
          for script in [Script(parts: 40, brokenPart: broken), Script(parts: 40, uncutPart: broken)] {
            var steps = TeamScan(script, by: team)
            var found = 0
            let error = #expect(throws: TargetError.self) {
              while try steps.next() { found += steps.runs.count }
            }
            #expect(error?.message.contains("part \(broken) ") == true, "\(String(describing: error))")
            #expect(found == broken)
          }
          let (next, _) = try Self.all(Script(parts: 20), by: team)
          #expect(next.runs.count == 20)
        }
      }
    }

    @Test func `a team that was never asked for anything ends`() async throws {
      try await Self.withTeam(of: 2) { _ in }
    }

    /// Three helpers and one: what each finds of real page tables, put together, is what one thread finds by itself, with all
    /// sources of page states.
    @Test(arguments: [1, 3], [PageScanner.Source.pagemapScan, .pagemap])
    func `a team finds what one finds`(helpers: Int, source: PageScanner.Source) async throws {
      try await MemoryTarget.run(["--size", "256M", "--huge-pages", "no", "--odd"]) { target in
        try await target.program.stop()
        let process = try TargetProcess(pid: target.pid)
        func walk() throws -> PageWalk {
          try PageWalk(of: process, source: source, standing: try AsyncIOQuiescence(into: [process]))
        }
        var alone = try walk()
        var expected = Joined()
        while try alone.next() { expected.add(alone.runs) }
        #expect(expected.runs.count > 30)
        try await Self.withTeam(of: helpers) { team in
          // Twice: a team has one process after the other.
          for _ in 1...2 {
            let shared = SharedWalk(try walk())
            let (found, tally) = try Self.all(shared, by: team)
            #expect(found == expected)
            #expect(tally == alone.tally)
            #expect(shared.mappings == alone.mappings && shared.skipped == alone.skipped)
          }
        }
      }
    }
  }
}
