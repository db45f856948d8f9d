import Foundation
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  /// SIGKILL in the middle of a later round: the process is as it was and nothing watches it any more, and of the chain it
  /// is known how far it can be built on.
  @Suite("Killing a later round", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct RoundKillTests {
    /// Which round is killed, and what tells it what was written.
    enum Variant: String, CaseIterable, Codable, Sendable {
      case laterRound
      case lastRound
      case lastRoundByContent

      fileprivate var isLast: Bool { self != .laterRound }

      fileprivate func configuration(pid: Int32, images: String) -> PreDump.Configuration {
        var configuration = PreDump.Configuration(pid: pid, imagesDirectory: images)
        configuration.tracker = self == .lastRoundByContent ? .content : .writeProtect
        return configuration
      }
    }

    @Test(arguments: Variant.allCases)
    func leavesTheProcessUnwatchedAndNothingThatLooksFinished(variant: Variant) async throws {
      try await MemoryTarget.run(["--size", "1M", "--odd", "--vmas", "10", "--write-rate", "20000"]) {
        target in
        let before = try TargetState(target.pid)
        #expect(before.watchedMappings == 0 && before.tracer == 0)
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          let counts = try await calls(variant, pid: target.pid, directory)
          var struck = Set<Faults.Site>()
          for site in Faults.Site.allCases {
            let number = counts[Int(site.rawValue)]
            for call in Set([0, number - 1]).sorted() where (0..<number).contains(call) {
              let chain = "\(directory)/\(site)-\(call)"
              try await expectNoHarm(variant, target, before, at: site, call: call, chain)
              if FileManager.default.fileExists(atPath: "\(chain).struck") { struck.insert(site) }
            }
          }
          var expected: Set<Faults.Site> = [.open, .read, .pread, .processRead, .pwrite, .fsync, .rename]
          if variant.isLast { expected.insert(.trace) }
          if variant != .lastRoundByContent { expected.insert(.pagemapScan) }
          #expect(struck.isSuperset(of: expected), "\(struck)")
        }
        target.program.resume()
        try await target.check()
      }
    }

    /// How many calls the round makes at each site.
    private func calls(_ variant: Variant, pid: Int32, _ directory: String) async throws -> [Int] {
      await #expect(processExitsWith: .success) { [variant, pid, directory = directory as String] in
        await OwnProcess.report(to: "\(directory)/report") { _ in
          let rounds = try await RoundKillTests.started(variant, pid: pid, in: "\(directory)/counted")
          Faults.start(.none)
          _ = try await rounds.runNext()
          return Faults.stop().calls.map { "\($0)" }.joined(separator: " ")
        }
      }
      let text = OwnProcess.reported(at: "\(directory)/report")
      let counts = text.split(separator: " ").compactMap { Int($0) }
      return try #require(counts.count == Faults.Site.allCases.count ? counts : nil, "\(text)")
    }

    /// Makes the first round, has the process write, and stops it again.
    ///
    /// - Returns: the rounds, which have the process watched while they are kept, and the next of them.
    fileprivate static func started(
      _ variant: Variant, pid: Int32, in chain: String
    ) async throws -> StartedRounds {
      var rounds = try RoundSequence(
        variant.configuration(pid: pid, images: chain), policy: WholeRounds.policy(rounds: 2),
        lastRound: variant.isLast ? .leavesStopped : nil)
      kill(pid, SIGCONT)
      let first = try await rounds.next()
      guard let first else { throw TestFailure("there is no first round") }
      rounds.ended(try await first.run())
      try await Task.sleep(for: .milliseconds(2))
      kill(pid, SIGSTOP)
      try await eventually("it stands still") { try Program.isStopped(pid) }
      let next = try await rounds.next()
      guard let next else { throw TestFailure("there is no second round") }
      return StartedRounds(rounds: rounds, next: next)
    }

    private func expectNoHarm(
      _ variant: Variant, _ target: MemoryTarget, _ before: TargetState, at site: Faults.Site, call: Int,
      _ chain: String
    ) async throws {
      let (number, pid) = (site.rawValue, target.pid)
      let result = await #expect(processExitsWith: .signal(SIGKILL)) {
        [variant, number = number as UInt32, call, pid = pid as Int32, chain = chain as String] in
        guard let site = Faults.Site(rawValue: number) else { return }
        let rounds = try await RoundKillTests.started(variant, pid: pid, in: chain)
        let interruption = Interruption(site: site, call: call) {
          _ = FileManager.default.createFile(atPath: "\(chain).struck", contents: nil)
          kill(getpid(), SIGKILL)
        }
        Faults.start(.none, interruption)
        _ = try? await rounds.runNext()
        // Threads do not do the same twice: a run may need fewer calls than the one before.
        kill(getpid(), SIGKILL)
      }
      let moment = "\(site) call \(call)"
      let name = Comment(rawValue: moment)
      try #require(result != nil, name)
      try await eventually("nobody watches the process, \(moment)") { try TargetState(pid) == before }
      try await eventually("it stands still as it did, \(moment)") { try Program.isStopped(pid) }
      let parent = names(in: "\(chain)/1") ?? []
      #expect(
        parent.contains("inventory.img") != parent.contains("inventory.img.aside"), "\(moment): \(parent)")
      if variant.isLast { #expect(parent.contains("inventory.img"), "\(moment): nothing was cleared") }
      var images = "\(chain)/2"
      if !looksFinished(images) {
        #expect((try? await ImagesSummary(path: images))?.isFinished != true, name)
        images = "\(chain)/3"
        var configuration = PreDump.Configuration(pid: pid, imagesDirectory: images)
        configuration.parentDirectory = "\(chain)/1"
        _ = try await PreDump(configuration).run()
      } else if parent.contains("inventory.img.aside") {
        // The parent gets its name back last: the other way round it would look as if it knew what was written since.
        // Nobody needs that name but for looking at the parent itself, as the comparison does.
        #expect(try await VerifyImages(directory: images).run().problems == [], name)
        try FileManager.default.moveItem(
          atPath: "\(chain)/1/inventory.img.aside", toPath: "\(chain)/1/inventory.img")
      }
      let comparison = try await ImageComparison.run(pid: pid, images: images)
      #expect(comparison.isEqual, "\(moment): \(comparison)")
      try FileManager.default.removeItem(atPath: chain)
    }
  }
}

/// Rounds of which the first was made. They have the process watched while they are kept.
private struct StartedRounds: ~Copyable {
  let rounds: RoundSequence
  let next: PreDump

  consuming func runNext() async throws -> PreDumpReport {
    let rounds = rounds
    defer { withExtendedLifetime(rounds) {} }
    return try await next.run()
  }
}
