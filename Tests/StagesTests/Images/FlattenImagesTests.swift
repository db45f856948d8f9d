import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Flatten and dedup")
  struct FlattenImagesTests {
    private func flatten(_ path: String, to output: String, budget: Int = 64 << 20) async throws {
      var flatten = FlattenImages(directory: path, output: output)
      flatten.memoryBudget = budget
      flatten.syncs = false
      _ = try await flatten.run()
    }

    private func expectRight(_ output: String, _ chain: RandomChain, _ comment: Comment) async throws {
      let contents = try RandomChain.contents(of: output)
      #expect(contents.keys.sorted() == chain.pages.keys.sorted(), comment)
      #expect(chain.pages.allSatisfy { contents[$0.key] == .some($0.value) }, comment)
      let summary = try await ImagesSummary(path: output)
      #expect(summary.isFinished, comment)
      #expect(summary.parent == nil, comment)
    }

    @Test(arguments: 1...6)
    func aChainBecomesOneDirectory(depth: Int) async throws {
      for seed in UInt64(1)...12 {
        try await withTemporaryDirectory { directory in
          let chain = try RandomChain(seed: seed, depth: depth, in: directory)
          try await flatten(
            chain.newest, to: "\(directory)/flat", budget: seed % 2 == 0 ? 64 << 20 : 2 << 20)
          try await expectRight("\(directory)/flat", chain, "seed \(seed), depth \(depth)")
          let inventory = try Data(contentsOf: URL(filePath: "\(directory)/flat/inventory.img"))
          #expect(inventory == (try Data(contentsOf: URL(filePath: "\(chain.newest)/inventory.img"))))
          #expect(FileManager.default.fileExists(atPath: "\(directory)/flat/stats-dump"))
        }
      }
    }

    /// Rounds of another run may have been made in it, for one.
    @Test func directoriesInItAreLeftOut() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 5, depth: 2, in: directory)
        try FileManager.default.createDirectory(
          atPath: "\(chain.newest)/1", withIntermediateDirectories: false)
        try await flatten(chain.newest, to: "\(directory)/flat")
        try await expectRight("\(directory)/flat", chain, "with a directory in it")
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/flat/1"))
      }
    }

    /// A file may be far longer than the disk that it is on.
    @Test func otherFilesKeepTheirHoles() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 2, in: directory)
        let file = "\(chain.newest)/core-42.img"
        try Data("abc".utf8).write(to: URL(filePath: file))
        let handle = try FileHandle(forWritingTo: URL(filePath: file))
        try handle.seek(toOffset: 1 << 40)
        try handle.write(contentsOf: Data("def".utf8))
        try handle.truncate(atOffset: 1 << 41)
        try handle.close()
        try await flatten(chain.newest, to: "\(directory)/flat")
        let copy = "\(directory)/flat/core-42.img"
        #expect(fileSize(copy) == 1 << 41)
        let copied = try FileHandle(forReadingFrom: URL(filePath: copy))
        #expect(try copied.read(upToCount: 4) == Data([0x61, 0x62, 0x63, 0]))
        try copied.seek(toOffset: 1 << 40)
        #expect(try copied.read(upToCount: 4) == Data([0x64, 0x65, 0x66, 0]))
        var status = stat()
        #expect(unsafe stat(copy, &status) == 0 && status.st_blocks * 512 < 1 << 20)
      }
    }

    /// The chain means the same afterwards, and what was given back is exactly what is not needed.
    @Test(arguments: 2...5)
    func dedupLeavesTheChainAsItWas(depth: Int) async throws {
      for seed in UInt64(1)...12 {
        try await withTemporaryDirectory { directory in
          let chain = try RandomChain(seed: seed, depth: depth, in: directory)
          let report = try await DedupImages(directory: chain.newest).run()
          #expect(report.bytes == report.pages * 4096)
          if seed == 1 { #expect(report.pages > 0) }
          try await flatten(chain.newest, to: "\(directory)/flat")
          try await expectRight("\(directory)/flat", chain, "seed \(seed), depth \(depth)")
        }
      }
    }

    @Test func dedupGivesSpaceBack() async throws {
      try await MemoryTarget.run(["--size", "4M", "--random"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/1")
          configuration.tracker = .none
          _ = try await PreDump(configuration).run()
          configuration.parentDirectory = "\(directory)/1"
          configuration.imagesDirectory = "\(directory)/2"
          let second = try await PreDump(configuration).run()
          let before = try #require(
            try await ImagesSummary(path: "\(directory)/1").processes.first?.allocatedBytes)
          let report = try await DedupImages(directory: "\(directory)/2").run()
          let after = try #require(
            try await ImagesSummary(path: "\(directory)/1").processes.first?.allocatedBytes)
          #expect(before >= 4 << 20)
          #expect(after < 1 << 20)
          #expect(report.pages <= second.pagesWritten)
        }
      }
    }

    @Test func whatIsBrokenIsRefused() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 3, in: directory)
        // The parent lacks pages that the newest directory leaves to it.
        let oldest = try Data(contentsOf: URL(filePath: "\(chain.directories[0])/pagemap-42.img"))
        try oldest.prefix(14).write(to: URL(filePath: "\(chain.directories[0])/pagemap-42.img"))
        await expectRefused(
          chain.newest, "\(directory)/flat",
          because: "a newer directory leaves it to the older ones, and none has it")
        try oldest.write(to: URL(filePath: "\(chain.directories[0])/pagemap-42.img"))
        // Its pages file is too short.
        let pages = "\(chain.directories[1])/pages-2.img"
        unsafe #expect(truncate(pages, 4096) == 0)
        await expectRefused(chain.newest, "\(directory)/flat", because: "shorter than its pagemap says")
        // It is not there at all.
        try FileManager.default.moveItem(atPath: chain.directories[1], toPath: "\(directory)/elsewhere")
        await expectRefused(chain.newest, "\(directory)/flat", because: "is not there")
        try FileManager.default.moveItem(atPath: "\(directory)/elsewhere", toPath: chain.directories[1])
        try FileManager.default.removeItem(atPath: "\(chain.newest)/inventory.img")
        await expectRefused(chain.newest, "\(directory)/flat", because: "no inventory.img")
        await #expect(throws: SluiceError.self) { try await DedupImages(directory: chain.newest).run() }
      }
    }

    private func expectRefused(_ path: String, _ output: String, because reason: String) async {
      let error = await #expect(throws: SluiceError.self) { try await flatten(path, to: output) }
      #expect(error?.code == .malformedImages)
      #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
      #expect(!FileManager.default.fileExists(atPath: output))
    }
  }
}
