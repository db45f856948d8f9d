import Foundation
import Sluice
import SluiceImages
import SluiceSystem
import SluiceTestSupport
import Testing

extension StagesTests {
  /// What a process does between two rounds and the write protection by itself does not tell, or tells only once.
  @Suite("Pages that rounds without a stop must not lose", .enabled(if: Kernel.isAtLeast(6, 7)))
  struct LostPagesTests {
    private func configuration(_ target: MappingTarget, in directory: String) -> PreDump.Configuration {
      var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
      configuration.tracker = .writeProtect
      return configuration
    }

    @Test func anotherProgramJustBeforeTheLastRoundIsCopiedWhole() async throws {
      try await MappingTarget.run(hasFixedAddresses: true) { target in
        try await withTemporaryDirectory { directory in
          let first = try await target.map(pages: 300)
          try await target.tell("stamp \(hexadecimal(first)) 300 1")
          let reports = try await WholeRounds.run(
            configuration(target, in: "\(directory)/chain"), rounds: 2
          ) { number in
            guard number == 1 else { return }
            try await target.tell("exec")
            let again = try await target.map(pages: 300)
            #expect(again == first, "the addresses are the same")
            try await target.tell("stamp \(hexadecimal(again)) 300 2")
          }
          #expect(reports[1].pagesSkippedParent == 0)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/2")
          target.program.resume()
        }
      }
    }

    /// Were a page forgotten, the images would have it as it was before, and the comparison would find it: all that these
    /// tests say rests on that.
    @Test func aPageThatIsAsItWasBeforeIsFound() async throws {
      try await MappingTarget.run { target in
        try await withTemporaryDirectory { directory in
          let start = try await target.map(pages: 300)
          try await target.tell("stamp \(hexadecimal(start)) 300 1")
          let chain = "\(directory)/chain"
          _ = try await WholeRounds.run(configuration(target, in: chain), rounds: 4) { number in
            guard number == 2 else { return }
            try await target.tell("stamp \(hexadecimal(start + 7 * ProcessMemory.pageSize)) 20 2")
          }
          let intact = try await ImageComparison.run(pid: target.pid, images: "\(chain)/4")
          #expect(intact.isEqual, "\(intact)")
          try putBack(start + 9 * ProcessMemory.pageSize, of: target.pid, in: chain)
          let comparison = try await ImageComparison.run(pid: target.pid, images: "\(chain)/4")
          #expect(comparison.counts["differing"] == 1, "\(comparison)")
          #expect(!comparison.isEqual)
          target.program.resume()
        }
      }
    }

    /// Has a chain of four rounds have a page as the first of them found it.
    private func putBack(_ address: UInt64, of pid: Int32, in chain: String) throws {
      let page = address..<address + ProcessMemory.pageSize
      func place(below number: Int) throws -> (file: String, offset: UInt64) {
        let images = try ImageChain(path: "\(chain)/\(number)", trust: Trust(everybody: true))
        let pagemap = try ChainPagemap(name: "pagemap-\(pid).img", in: images)
        let place = try pagemap.place(of: page)
        return ("\(chain)/\(number - place.level)/pages-\(pagemap.pagesID).img", place.offset)
      }
      let (newest, oldest) = (try place(below: 4), try place(below: 1))
      #expect(newest.file != oldest.file, "a later round has copied the page")
      let source = try FileHandle(forReadingFrom: URL(filePath: oldest.file))
      try source.seek(toOffset: oldest.offset)
      let old = try #require(try source.read(upToCount: Int(ProcessMemory.pageSize)))
      let target = try FileHandle(forUpdating: URL(filePath: newest.file))
      try target.seek(toOffset: newest.offset)
      try target.write(contentsOf: old)
      try target.close()
    }
  }
}
