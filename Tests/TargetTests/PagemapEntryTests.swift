import Testing

@testable import SluiceTarget

@Suite("Entries of a pagemap")
struct PagemapEntryTests {
  private let (dirty, present) = (PagemapEntry.softDirty, PagemapEntry.present)

  @Test(arguments: [MappedArea.Pages.own, .copiedFromFile])
  func aDirtyPageIsOneOfTheProcessOwn(pages: MappedArea.Pages) {
    #expect(PagemapEntry.isDirty(dirty | present, pages))
    #expect(PagemapEntry.isDirty(dirty | PagemapEntry.swapped, pages))
    #expect(!PagemapEntry.isDirty(present, pages))
    #expect(!PagemapEntry.isDirty(dirty | present | PagemapEntry.file, pages))
    // Its mapping is new, and it was never touched.
    #expect(!PagemapEntry.isDirty(dirty, pages))
  }

  /// After an execve the vdso may be where other memory was, and pages of it need not be there yet.
  @Test func inAnAreaThatIsTakenWholeEveryPageMayBeDirty() {
    #expect(PagemapEntry.isDirty(dirty, .all))
    #expect(PagemapEntry.isDirty(dirty | present | PagemapEntry.file, .all))
    #expect(!PagemapEntry.isDirty(present | PagemapEntry.file, .all))
  }
}
