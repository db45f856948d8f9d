import Foundation
import Sluice
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

    /// Were a page forgotten, the comparison would find it: all that these tests say rests on that.
    @Test(arguments: [2, 3])
    func aPageThatIsForgottenOnPurposeIsFound(round: Int) async throws {
      try await MappingTarget.run { target in
        try await withTemporaryDirectory { directory in
          let start = try await target.map(pages: 300)
          try await target.tell("stamp \(hexadecimal(start)) 300 1")
          for isForgotten in [true, false] {
            let chain = "\(directory)/\(isForgotten)"
            if isForgotten {
              let end = start + 300 * ProcessMemory.pageSize
              unsafe setenv("SLUICE_FORGET_DIRTY", "\(round):\(hexadecimal(start))-\(hexadecimal(end))", 1)
            }
            defer { unsafe unsetenv("SLUICE_FORGET_DIRTY") }
            // What is written before a round is copied by that one and the next: the last of four is past that.
            _ = try await WholeRounds.run(configuration(target, in: chain), rounds: 4) { number in
              guard number == round - 1 else { return }
              try await target.tell("stamp \(hexadecimal(start + 7 * ProcessMemory.pageSize)) 20 2")
            }
            let comparison = try await ImageComparison.run(pid: target.pid, images: "\(chain)/4")
            #expect(comparison.counts["differing"] == (isForgotten ? 1 : 0), "\(comparison)")
            #expect(comparison.isEqual == !isForgotten)
            target.program.resume()
            try await target.tell("stamp \(hexadecimal(start)) 300 1")
          }
        }
      }
    }
  }
}
