import Foundation
import Logging
import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice
@testable import SluiceImages

extension StagesTests {
  /// `dedup` leaves zeros in a parent where pages were. The chain does not need them; whoever reads the parent otherwise
  /// has to be told.
  @Suite("Images that pages were given back of")
  struct DedupMarkTests {
    private func flatten(_ path: String, to output: String) async throws {
      var flatten = FlattenImages(directory: path, output: output)
      flatten.syncs = false
      _ = try await flatten.run()
    }

    private func expectRefused(
      _ path: String, in directory: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
      let problems = try await VerifyImages(directory: path).run().problems
      #expect(
        problems.contains { $0.contains("'sluice dedup' has removed") }, "\(problems)",
        sourceLocation: sourceLocation)
      let error = await #expect(throws: SluiceError.self, sourceLocation: sourceLocation) {
        try await flatten(path, to: "\(directory)/refused")
      }
      #expect(error?.code == .malformedImages, sourceLocation: sourceLocation)
      let again = await #expect(throws: SluiceError.self, sourceLocation: sourceLocation) {
        try await DedupImages(directory: path).run()
      }
      #expect(again?.code == .malformedImages, sourceLocation: sourceLocation)
    }

    @Test(arguments: 2...4)
    func areRightOnlyBelowTheOnesThatHaveThemAnew(depth: Int) async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: depth, in: directory)
        let given = try await DedupImages(directory: chain.newest).run()
        #expect(given.pages > 0)
        #expect(try await VerifyImages(directory: chain.newest).run().problems == [])
        #expect(try await ImagesSummary(path: chain.newest).deduplicated == nil)
        for parent in chain.directories.dropLast() {
          try await expectRefused(parent, in: directory)
          #expect(try await ImagesSummary(path: parent).deduplicated?.contains("../\(depth)") == true)
        }
        // A second time there is nothing wrong either.
        #expect(try await DedupImages(directory: chain.newest).run() == given)
        try await flatten(chain.newest, to: "\(directory)/flat")
        #expect(try await VerifyImages(directory: "\(directory)/flat").run().problems == [])
        #expect(try await ImagesSummary(path: "\(directory)/flat").deduplicated == nil)
        #expect(try RandomChain.contents(of: "\(directory)/flat").count == chain.pages.count)
      }
    }

    /// Which directory it is that has them is told by what is in it, not by its name.
    @Test func areRightWhereverTheChainIsMoved() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 3, in: directory)
        _ = try await DedupImages(directory: chain.newest).run()
        let other = "\(directory)/other"
        try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: false)
        for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
          try FileManager.default.moveItem(atPath: "\(directory)/\(number)", toPath: "\(other)/\(name)")
        }
        for (name, parent) in [("b", "../a"), ("c", "../b")] {
          try FileManager.default.removeItem(atPath: "\(other)/\(name)/parent")
          try FileManager.default.createSymbolicLink(
            atPath: "\(other)/\(name)/parent", withDestinationPath: parent)
        }
        #expect(try await VerifyImages(directory: "\(other)/c").run().problems == [])
        try await expectRefused("\(other)/b", in: directory)
        // Another one in its place has not got the pages.
        let stranger = try RandomChain(seed: 4, depth: 3, in: directory)
        try FileManager.default.moveItem(atPath: stranger.newest, toPath: "\(other)/d")
        try FileManager.default.removeItem(atPath: "\(other)/d/parent")
        try FileManager.default.createSymbolicLink(atPath: "\(other)/d/parent", withDestinationPath: "../b")
        try await expectRefused("\(other)/d", in: directory)
      }
    }

    /// One that gives pages back below a newer one that has done so already has the mark say the newer one.
    @Test func areMarkedForTheNewestOne() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 4, in: directory)
        _ = try await DedupImages(directory: chain.directories[2]).run()
        #expect(try await VerifyImages(directory: chain.directories[2]).run().problems == [])
        _ = try await DedupImages(directory: chain.newest).run()
        #expect(try await VerifyImages(directory: chain.newest).run().problems == [])
        for parent in chain.directories.dropLast() { try await expectRefused(parent, in: directory) }
      }
    }

    /// Nothing is taken from anybody for the sake of images that are not whole, or not understood.
    @Test func areNotMadeByImagesThatAreBroken() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 3, in: directory)
        let allocated = try await ImagesSummary(path: chain.directories[0]).processes.map(\.allocatedBytes)
        // Its last entry cannot be read.
        let pagemap = try FileHandle(forWritingTo: URL(filePath: "\(chain.newest)/pagemap-42.img"))
        try pagemap.seekToEnd()
        try pagemap.write(contentsOf: [7, 0, 0, 0, 8])
        try pagemap.close()
        await #expect(throws: SluiceError.self) { try await DedupImages(directory: chain.newest).run() }
        #expect(
          try await ImagesSummary(path: chain.directories[0]).processes.map(\.allocatedBytes) == allocated)
        for parent in chain.directories.dropLast() {
          #expect(try await ImagesSummary(path: parent).deduplicated == nil)
          #expect(try await VerifyImages(directory: parent).run().problems == [])
        }
      }
    }

    /// The tracker of contents would build on the same images any number of times.
    @Test func areNoBaseForAnotherRound() async throws {
      try await MemoryTarget.run(["--size", "4M", "--random"]) { target in
        try await withTemporaryDirectory { directory in
          let warnings = Locked([String]())
          func pass(_ name: String, on parent: String?, _ tracker: PreDump.Configuration.Tracker) async throws
            -> PreDumpReport
          {
            var configuration = PreDump.Configuration(
              pid: target.pid, imagesDirectory: "\(directory)/\(name)")
            configuration.parentDirectory = parent.map { "\(directory)/\($0)" }
            configuration.tracker = tracker
            configuration.logger = Logger(label: "test") { _ in Warnings(kept: warnings) }
            return try await PreDump(configuration).run()
          }
          _ = try await pass("1", on: nil, .content)
          _ = try await pass("2", on: "1", .none)
          _ = try await DedupImages(directory: "\(directory)/2").run()
          let report = try await pass("3", on: "1", .content)
          #expect(report.pagesSkippedParent == 0)
          #expect(report.parentDirectory == nil)
          #expect(try await ImagesSummary(path: "\(directory)/3").parent == nil)
          #expect(
            warnings.withLock { $0 }.contains { $0.contains("'sluice dedup' has removed") },
            "\(warnings.withLock { $0 })")
          try await target.check()
        }
      }
    }
  }

  /// Images that are complete, and that a round was to be built on which was interrupted.
  @Suite("Images that stay set aside")
  struct SetAsideTests {
    @Test func areWholeAndBecomeACopyThatIsNoBase() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 3, in: directory)
        try FileManager.default.moveItem(
          atPath: "\(chain.newest)/inventory.img", toPath: "\(chain.newest)/inventory.img.aside")
        let summary = try await ImagesSummary(path: chain.newest)
        #expect(summary.isFinished && summary.isSetAside)
        #expect(summary.dumpUptime == .microseconds(3))
        let verified = try await VerifyImages(directory: chain.newest).run()
        #expect(verified.problems == [])
        #expect(verified.notes.count == 1 && verified.notes[0].contains("complete and set aside"))
        let report = try await FlattenImages(directory: chain.newest, output: "\(directory)/flat").run()
        #expect(!report.isBase)
        let flat = try await ImagesSummary(path: "\(directory)/flat")
        #expect(flat.isFinished && !flat.isSetAside)
        #expect(try RandomChain.contents(of: "\(directory)/flat").count == chain.pages.count)
        try expectNoBase("\(directory)/flat")
        // They do for what only reads them.
        await #expect(throws: Never.self) { try await DedupImages(directory: chain.newest).run() }
      }
    }

    /// What was written since a parent was made is known for the round upon it alone, whoever copies the parent.
    @Test func likeThoseThatWereBuiltUpon() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 2, in: directory)
        let whole = try await FlattenImages(directory: chain.newest, output: "\(directory)/whole").run()
        #expect(whole.isBase)
        #expect(try ParentImages(path: "\(directory)/whole").inventory?.dumpUptime == 2)
        try ParentImages(path: chain.directories[0]).noteChild(at: chain.newest)
        try Data(TrackedProcesses(bootID: "x", processes: []).encoded())
          .write(to: URL(filePath: "\(chain.directories[0])/tracked.img"))
        let report = try await FlattenImages(directory: chain.directories[0], output: "\(directory)/old")
          .run()
        #expect(!report.isBase)
        try expectNoBase("\(directory)/old")
      }
    }

    private func expectNoBase(_ path: String) throws {
      let parent = try ParentImages(path: path)
      #expect(parent.inventory != nil)
      #expect(parent.inventory?.dumpUptime == nil)
      #expect(parent.tracked == nil)
    }
  }
}
