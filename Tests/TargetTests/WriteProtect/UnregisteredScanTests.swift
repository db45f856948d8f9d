import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Scan for unwatched memory", .timeLimit(.minutes(15)), .enabled(if: Kernel.isAtLeast(6, 7)))
struct UnregisteredScanTests {
  private let page = ProcessMemory.pageSize

  @Test func findsMorePagesThanAStepHolds() async throws {
    try await MappingTarget.run { target in
      // More regions than one call can tell, then more pages than a step covers.
      let pages: UInt64 = 10_000
      let start = try await target.map(pages: Int(pages))
      for index in stride(from: UInt64(1), to: 1000, by: 2) {
        // MADV_DONTNEED
        try await target.tell("advise \(hexadecimal(start + index * page)) 1 4")
      }
      let scan = UnregisteredScan(of: try TargetProcess(pid: target.pid))
      var found = DirtySet(byteCount: DirtySet.smallestBytes, processCount: 1)
      found.beginProcess()
      try scan.collect(start..<start + pages * page, into: &found)
      var cursor = found.cursor(ofProcess: 0)
      for index in 0..<pages {
        let address = start + index * page
        let isFound = cursor.next(in: address..<address + page).isDirty
        #expect(isFound == (index >= 1000 || index % 2 == 0), "page \(index)")
      }
    }
  }
}
