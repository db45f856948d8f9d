import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// Each way in which memory can change that could make a tracker call it clean: docs/correctness.md.
  @Suite("Changes that rounds must not miss", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct DoubtTests {
    /// Those of Tests/Programs/doubt-target.
    static let ways = [
      "plainly", "given-up", "given-up-huge", "freed", "cold", "paged-out", "collapsed", "split",
      "wiped-for-children", "guarded", "sealed", "moved", "moved-huge", "moved-and-left", "several-moved",
      "grown-and-shrunk", "brk-moved", "stack-grown", "written-by-another", "written-by-mem", "poked",
      "advised-by-another", "after-fork", "after-fork-huge", "by-a-sharer", "locked", "through-pipes",
      "read-from-a-file", "put-by-userfault",
    ]

    /// Between the first two rounds, between the second and the third, and just before the last, for which it stands still:
    /// what is written before a round is copied by that one and, as a rule, the next.
    @Test(arguments: [PreDump.Configuration.Tracker.writeProtect, .content], ways)
    func areCopiedHoweverTheyComeAbout(tracker: PreDump.Configuration.Tracker, way: String) async throws {
      try await expectCopied(tracker, way)
    }

    /// Nothing is paged out where there is no swap space.
    @Test(
      .enabled("there can be no swap space here") { await SwapFile.isPossible },
      arguments: [PreDump.Configuration.Tracker.writeProtect, .content], ["paged-out", "advised-by-another"])
    func areCopiedWhereTheyGoToSwap(tracker: PreDump.Configuration.Tracker, way: String) async throws {
      try await SwapFile.with {
        try await expectCopied(tracker, way) { pid in
          #expect(ProcessMemory.status("VmSwap", of: pid) ?? 0 > 0)
        }
      }
    }

    /// - Parameter afterChange: is done after each change.
    private func expectCopied(
      _ tracker: PreDump.Configuration.Tracker, _ way: String, afterChange: (Int32) throws -> Void = { _ in }
    ) async throws {
      var command = Command(try Command.builtPath("doubt-target"), [way])
      command.hasInput = true
      command.output = .lines
      try await withProgram(command) { program in
        try await withTemporaryDirectory { directory in
          try #require(try await program.nextLine() == "ok")
          var configuration = PreDump.Configuration(pid: program.pid, imagesDirectory: "\(directory)/chain")
          configuration.tracker = tracker
          let reports = try await WholeRounds.run(configuration, rounds: 4) { number in
            guard number < 4 else { return }
            try program.write(line: "change")
            try #require(try await program.nextLine() == "ok")
            try afterChange(program.pid)
          }
          #expect(reports.allSatisfy { $0.tracker == (tracker == .content ? .content : .writeProtect) })
          #expect(reports[3].pagesSkippedParent > 0, "it builds on the rounds before")
          try await StagesTests.expectEqual(program.pid, "\(directory)/chain/4")
        }
      }
    }

    @Test func areAllThatThereAre() async throws {
      let listed = try await Command(try Command.builtPath("doubt-target"), []).run()
      #expect(listed.output.split(separator: "\n").map(String.init) == Self.ways)
    }
  }
}
