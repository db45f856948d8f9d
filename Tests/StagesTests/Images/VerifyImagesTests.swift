import Foundation
import SluiceImages
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  @Suite("Verify")
  struct VerifyImagesTests {
    @Test(arguments: 1...5)
    func findsNothingWrongWithAChainThatIsRight(depth: Int) async throws {
      for seed in UInt64(1)...8 {
        try await withTemporaryDirectory { directory in
          let chain = try RandomChain(seed: seed, depth: depth, in: directory)
          let report = try await VerifyImages(directory: chain.newest).run()
          #expect(report.problems == [])
          #expect(report.depth == depth)
          #expect(report.pages == UInt64(chain.pages.count))
        }
      }
    }

    private func expectProblem(
      _ chain: RandomChain, _ reason: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
      let report = try await VerifyImages(directory: chain.newest).run()
      #expect(report.problems.count == 1, sourceLocation: sourceLocation)
      let isNamed = report.problems.first?.contains(reason) == true
      #expect(isNamed, "\(report.problems)", sourceLocation: sourceLocation)
    }

    @Test func findsWhatIsWrong() async throws {
      try await withTemporaryDirectory { directory in
        let chain = try RandomChain(seed: 3, depth: 3, in: directory)
        let files = [
          (
            "\(chain.directories[0])/pagemap-42.img",
            "a newer directory leaves it to the older ones, and none has it"
          ),
          ("\(chain.directories[1])/pages-2.img", "its pagemap lists"),
          ("\(chain.newest)/pages-3.img", "its pagemap lists"),
        ]
        for (path, reason) in files {
          let whole = try Data(contentsOf: URL(filePath: path))
          try whole.prefix(14).write(to: URL(filePath: path))
          try await expectProblem(chain, reason)
          try whole.write(to: URL(filePath: path))
        }
        let pages = "\(chain.newest)/pages-3.img"
        let whole = try Data(contentsOf: URL(filePath: pages))
        try (whole + Data(repeating: 1, count: 4096)).write(to: URL(filePath: pages))
        try await expectProblem(chain, "its pagemap lists")
        try whole.write(to: URL(filePath: pages))
        try FileManager.default.removeItem(atPath: "\(chain.newest)/inventory.img")
        try await expectProblem(chain, "no inventory.img")
      }
    }

    /// A parent that nothing is left to may be in whatever state.
    @Test func asksNothingOfAParentThatIsNotNeeded() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          for number in 1...2 {
            var configuration = PreDump.Configuration(
              pid: target.pid, imagesDirectory: "\(directory)/\(number)")
            configuration.tracker = .none
            configuration.parentDirectory = number > 1 ? "\(directory)/1" : nil
            _ = try await PreDump(configuration).run()
          }
          for name in ["pages-1.img", "pagemap-\(target.pid).img"] {
            #expect(unsafe truncate("\(directory)/1/\(name)", 7) == 0)
            #expect(try await VerifyImages(directory: "\(directory)/1").run().problems.count == 1)
            #expect(try await VerifyImages(directory: "\(directory)/2").run().problems == [])
          }
        }
      }
    }

    /// A round that finds its parent broken copies everything, and does not lead to it either.
    @Test(arguments: ["pages-1.img", "pagemap"])
    func findsNothingWrongWithARoundUponABrokenParent(name: String) async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/1")
          configuration.tracker = .content
          _ = try await PreDump(configuration).run()
          let file = name == "pagemap" ? "pagemap-\(target.pid).img" : name
          let size = try #require(fileSize("\(directory)/1/\(file)"))
          #expect(unsafe truncate("\(directory)/1/\(file)", size - 5) == 0)
          configuration.parentDirectory = "\(directory)/1"
          configuration.imagesDirectory = "\(directory)/2"
          let report = try await PreDump(configuration).run()
          #expect(report.pagesSkippedParent == 0 && report.parentDirectory == nil)
          let summary = try await ImagesSummary(path: "\(directory)/2")
          #expect(summary.parent == nil)
          #expect(try await VerifyImages(directory: "\(directory)/2").run().problems == [])
        }
      }
    }

    @Test func refusesMoreDirectoriesThanAreOpened() async throws {
      try await withTemporaryDirectory { directory in
        let most = ImageChain.mostLevels
        for number in 1...most + 1 {
          let path = "\(directory)/\(number)"
          try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
          guard number > 1 else { continue }
          try FileManager.default.createSymbolicLink(
            atPath: "\(path)/parent", withDestinationPath: "\(directory)/\(number - 1)")
        }
        let descriptors = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        unsafe getrlimit(descriptors, &limit)
        try #require(limit.rlim_max > 2 * most)
        limit.rlim_cur = limit.rlim_max
        unsafe setrlimit(descriptors, &limit)
        #expect(try ImageChain(path: "\(directory)/\(most)").depth == most)
        let report = try await VerifyImages(directory: "\(directory)/\(most + 1)").run()
        #expect(report.problems.count == 1 && report.problems[0].contains("sluice flatten"), "\(report)")
      }
    }

    @Test(arguments: PreDumpTests.pageStates)
    func comparesContents(pageStates: PreDump.Configuration.PageStates) async throws {
      try await MappingTarget.run { target in
        let start = try await target.map(pages: 16)
        try await withTemporaryDirectory { directory in
          _ = try await PreDump(.init(pid: target.pid, imagesDirectory: directory)).run()
          var check = ContentsCheck(directory: directory, pid: target.pid)
          check.pageStates = pageStates
          let before = try #require(try await check.run().first)
          #expect(before.hasImages)
          #expect(before.pages.equal > 16)
          // One page of it is written, one is unmapped, two are given up, and others are new.
          let memory = try FileHandle(forUpdating: URL(filePath: "/proc/\(target.pid)/mem"))
          try memory.seek(toOffset: start + 2 * 4096 + 77)
          try memory.write(contentsOf: [1])
          try memory.close()
          try await target.tell("unmap \(hexadecimal(start + 5 * 4096)) 1")
          // MADV_DONTNEED: the mapping stays. One of them is its last.
          for page in [8, 15] as [UInt64] {
            try await target.tell("advise \(hexadecimal(start + page * 4096)) 1 4")
          }
          let fresh = try await target.map(pages: 3)
          let after = try #require(try await check.run().first)
          func counts(at page: UInt64) -> [UInt64]? {
            after.mappings.first { $0.start <= start + page * 4096 && start + page * 4096 < $0.end }
              .map { [$0.differing, $0.missing, $0.gone] }
          }
          // The hole makes two of the mapping.
          #expect(counts(at: 2) == [1, 0, 0])
          #expect(counts(at: 8) == [0, 0, 2])
          #expect(counts(at: 5) == nil)
          #expect(after.unmapped - before.unmapped == 1)
          #expect(after.pages.gone - before.pages.gone == 3)
          let missing = after.mappings.filter { $0.start < fresh + 3 * 4096 && fresh < $0.end }
          #expect(missing.map(\.missing).reduce(0, +) == 3)
          let status = try String(contentsOfFile: "/proc/\(target.pid)/status", encoding: .utf8)
          #expect(status.contains("TracerPid:\t0\n"))
        }
      }
    }
  }
}
