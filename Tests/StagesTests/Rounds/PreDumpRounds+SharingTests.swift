import Foundation
import Logging
import Sluice
import SluicePipeline
import SluiceTestSupport
import Testing

extension StagesTests {
  /// Of a memory that several processes share, every scan that protects takes what another one is to find.
  @Suite("Rounds of processes that share a memory or a name")
  struct SharingRoundsTests {
    static let trackers: [PreDump.Configuration.Tracker] =
      (Kernel.isAtLeast(6, 7) ? [.writeProtect] : []) + [.content]

    private func configuration(
      _ target: RelationTarget, in directory: String, _ tracker: PreDump.Configuration.Tracker
    ) -> PreDump.Configuration {
      var configuration = PreDump.Configuration(pid: target.tree, imagesDirectory: "\(directory)/chain")
      configuration.tracker = tracker
      configuration.syncs = false
      return configuration
    }

    /// - Parameter middle: what happens after the second of five rounds.
    private func run(
      _ target: RelationTarget, in directory: String, _ tracker: PreDump.Configuration.Tracker,
      middle: () async throws -> Void = {}
    ) async throws -> [PreDumpReport] {
      try await WholeRounds.run(configuration(target, in: directory, tracker), rounds: 5) { number in
        if number == 2 { try await middle() }
      }
    }

    private func isStopped(_ pid: Int32) throws -> Bool {
      try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8).contains(") T ")
    }

    @Test(arguments: [RelationTarget.Relation.child, .sibling, .orphan], trackers)
    func endWithTheMemoryOfOneMoment(
      relation: RelationTarget.Relation, tracker: PreDump.Configuration.Tracker
    ) async throws {
      try await RelationTarget.run(relation) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await run(target, in: directory, tracker)
          for report in reports {
            #expect(report.processes.map(\.pid) == [target.tree, target.owner])
            #expect(report.processesSkipped.keys.sorted() == [target.other])
          }
          #expect(try isStopped(target.other))
          try await StagesTests.expectEqual(target.owner, "\(directory)/chain/5")
          try await StagesTests.expectEqual(target.tree, "\(directory)/chain/5")
          // The images are compared with what the other one sees of the same memory, and by ourselves.
          let reportsOfContents = try await ContentsCheck(directory: "\(directory)/chain/5", pid: target.tree)
            .run()
          #expect(reportsOfContents.map(\.pid) == [target.tree, target.owner])
          for task in reportsOfContents { #expect(task.pages.differing + task.pages.missing == 0) }
        }
      }
    }

    @Test(arguments: trackers)
    func goOnWithTheMemoryWhenItsOwnerEnds(tracker: PreDump.Configuration.Tracker) async throws {
      try await RelationTarget.run(.sibling) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await run(target, in: directory, tracker) { try await target.end(target.owner) }
          #expect(
            reports.map { $0.processes.map(\.pid).last }
              == [0, 0, 1, 1, 1].map { [target.owner, target.other][$0] })
          try await StagesTests.expectEqual(target.other, "\(directory)/chain/5")
        }
      }
    }

    @Test(arguments: trackers)
    func copyOneThatHasExecutedAProgramByItself(tracker: PreDump.Configuration.Tracker) async throws {
      try await RelationTarget.run(.sibling) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await run(target, in: directory, tracker) { try await target.executeOther() }
          #expect(reports[1].processes.map(\.pid) == [target.tree, target.owner])
          #expect(reports[4].processes.map(\.pid) == [target.tree, target.owner, target.other])
          for task in reports[4].processes {
            try await StagesTests.expectEqual(task.pid, "\(directory)/chain/5")
          }
        }
      }
    }

    @Test(.needsRoot, arguments: trackers)
    func leaveANameToTheProcessThatHasIt(tracker: PreDump.Configuration.Tracker) async throws {
      try await RelationTarget.run(.names) { target in
        try await withTemporaryDirectory { directory in
          var born: Int32 = 0
          let reports = try await run(target, in: directory, tracker) { born = try await target.bear() }
          for report in reports {
            #expect(
              report.processes.contains { $0.pid == target.owner && $0.namespacePid == 1 && $0.error == nil })
            #expect(!report.processes.contains { $0.pid == born })
          }
          #expect(reports[0].processesSkipped.isEmpty)
          #expect(
            reports[4].processesSkipped[born]?.contains("is process 1 in its own pid namespace") == true)
          #expect(try isStopped(born))
          try await StagesTests.expectEqual(target.owner, "\(directory)/chain/5")
          let contents = try await ContentsCheck(directory: "\(directory)/chain/5", pid: target.tree).run()
          #expect(contents.contains { $0.pid == target.owner && $0.pages.differing + $0.pages.missing == 0 })
          #expect(!contents.contains { $0.pid == born })
          kill(born, SIGKILL)
        }
      }
    }

    /// In a process of its own, whose every comparison of memories fails.
    @Test(.enabled(if: Kernel.isAtLeast(6, 7)))
    func watchNoneThatMayShareAMemoryWhereTheKernelDoesNotTell() async throws {
      try await RelationTarget.run(.sibling) { target in
        try await withTemporaryDirectory { directory in
          let (pid, path) = (target.tree, "\(directory)/chain")
          await #expect(processExitsWith: .success) { [pid = pid as Int32, path = path as String] in
            Faults.start(.from(Faults.Strike(site: .compareMemory, call: 0, errno: ENOSYS)))
            let kept = Locked<[String]>([])
            var configuration = PreDump.Configuration(pid: pid, imagesDirectory: path)
            (configuration.tracker, configuration.syncs) = (.writeProtect, false)
            configuration.logger = Logger(label: "test") { _ in Warnings(kept: kept) }
            let reports = try await WholeRounds.run(configuration, rounds: 4)
            let said = kept.withLock { $0 }
            guard reports[3].processes.count == 3, said.contains(where: { $0.contains("kcmp") }) else {
              fatalError("\(said)")
            }
          }
          for pid in [target.tree, target.owner, target.other] {
            try await StagesTests.expectEqual(pid, "\(path)/4")
          }
        }
      }
    }
  }
}
