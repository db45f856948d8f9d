import CSluiceLinux
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Pagemap entry", .timeLimit(.minutes(15)))
struct PagemapEntryTests {
  private static let entries: [(UInt64, Bool)] = [
    (0, false),
    (present, true),
    (swapped, true),
    (PagemapEntry.file, false),
    (swapped | PagemapEntry.guardRegion, false),
    // A guard's marker; the same place in a swap file.
    (swapped | 4 << 5 | 31, false),
    (swapped | 4 << 5 | 30, true),
    // Markers for a page that was poisoned, and for one that must not be written.
    (swapped | 2 << 5 | 31, true),
    (swapped | 1 << 5 | 31, true),
    // A present page's frame may have any number.
    (present | 4 << 5 | 31, true),
  ]
  private static let present = PagemapEntry.present
  private static let swapped = PagemapEntry.swapped

  @Test(arguments: entries)
  func tellsWhetherThereIsAPage(entry: UInt64, isPopulated: Bool) {
    #expect(PagemapEntry.isPopulated(entry) == isPopulated)
  }

  /// Whether the kernel tells of a guard region by a bit or not, its entry is one.
  @Test(
    .needsRoot, .enabled(if: Kernel.isAtLeast(6, 13), "there are guard regions since 6.13"))
  func knowsAGuardRegionWithoutItsBit() async throws {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 4)
      // MADV_GUARD_INSTALL
      try await target.tell("advise \(hexadecimal(start + ProcessMemory.pageSize)) 2 102")
      let entries = try ProcessMemory.pagemapEntries(
        of: target.pid, from: start, to: start + 4 * ProcessMemory.pageSize)
      #expect(
        entries.map { PagemapEntry.isGuardRegion($0 & ~PagemapEntry.guardRegion) }
          == [false, true, true, false])
    }
  }

  @Test(arguments: [MappedArea.Pages.own, .copiedFromFile])
  func aDirtyPageIsOneOfTheProcessOwn(pages: MappedArea.Pages) {
    let (dirty, present) = (PagemapEntry.softDirty, PagemapEntry.present)
    #expect(PagemapEntry.isDirty(dirty | present, pages))
    #expect(PagemapEntry.isDirty(dirty | PagemapEntry.swapped, pages))
    #expect(!PagemapEntry.isDirty(present, pages))
    #expect(!PagemapEntry.isDirty(dirty | present | PagemapEntry.file, pages))
    // Its mapping is new, and it was never touched.
    #expect(!PagemapEntry.isDirty(dirty, pages))
  }

  /// After an execve the vdso may be where other memory was, and pages of it need not be there yet.
  @Test func inAnAreaThatIsTakenWholeEveryPageMayBeDirty() {
    let (dirty, present) = (PagemapEntry.softDirty, PagemapEntry.present)
    #expect(PagemapEntry.isDirty(dirty, .all))
    #expect(PagemapEntry.isDirty(dirty | present | PagemapEntry.file, .all))
    #expect(!PagemapEntry.isDirty(present | PagemapEntry.file, .all))
  }

  @Test func theFirstWithABitIsFoundWhereverItIs() {
    for count in [0, 1, 7, 8, 9, 16, 21] {
      for place in 0...count {
        // Others have other bits.
        var entries = [UInt64](repeating: ~PagemapEntry.softDirty, count: count)
        for index in place..<count { entries[index] = PagemapEntry.softDirty }
        let found = unsafe entries.withUnsafeBufferPointer {
          unsafe sluice_first_with(PagemapEntry.softDirty, $0.baseAddress, $0.count)
        }
        #expect(found == place, "of \(count)")
      }
    }
  }
}
