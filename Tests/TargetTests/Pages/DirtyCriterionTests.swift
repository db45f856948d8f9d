import CSluiceLinux
import Testing

@testable import SluiceTarget

@Suite("Write view")
struct DirtyCriterionTests {
  /// Categories of a page, as they are asked for.
  private struct Page: OptionSet, CaseIterable {
    let rawValue: UInt64
    static let written = Page(rawValue: UInt64(SLUICE_PAGE_WRITTEN.rawValue))
    static let softDirty = Page(rawValue: UInt64(SLUICE_PAGE_SOFT_DIRTY.rawValue))
    static let huge = Page(rawValue: UInt64(SLUICE_PAGE_HUGE.rawValue))
    /// All combinations.
    static let allCases: [Page] = [
      [], .written, .softDirty, .huge, [.written, .softDirty], [.written, .huge], [.softDirty, .huge],
      [.written, .softDirty, .huge],
    ]
  }

  private func pages(_ view: DirtyCriterion, _ isTrue: (DirtyCriterion, Page) -> Bool) -> [Page] {
    Page.allCases.filter { isTrue(view, $0) }
  }

  @Test(arguments: [false, true], [false, true])
  func heedsTheOneWhoseWordItIs(protects: Bool, seesSoftDirty: Bool) {
    func copied(_ authority: DirtyCriterion.Authority) -> [Page] {
      pages(DirtyCriterion(authority: authority, protects: protects, seesSoftDirty: seesSoftDirty)) {
        $0.verdict(on: $1.rawValue, isFileBacked: false).mustCopy
      }
    }
    #expect(copied(.nobody) == [])
    #expect(
      copied(.protection)
        == Page.allCases.filter { $0.contains(.written) || seesSoftDirty && $0.contains(.softDirty) })
    #expect(
      copied(.elsewhere) == [
        .softDirty, [.written, .softDirty], [.softDirty, .huge], [.written, .softDirty, .huge],
      ])
    #expect(copied(.everything) == Page.allCases)
  }

  @Test(arguments: [DirtyCriterion.Authority.protection, .elsewhere, .everything])
  func whatMayBePinnedIsCopiedByTheNextRoundToo(authority: DirtyCriterion.Authority) {
    func unsettled(softDirty: Bool, isPinned: Bool = false, protects: Bool = true) -> [Page] {
      pages(
        DirtyCriterion(authority: authority, protects: protects, seesSoftDirty: softDirty, isPinned: isPinned)
      ) {
        $0.verdict(on: $1.rawValue, isFileBacked: false).isUnsettled
      }
    }
    #expect(
      unsettled(softDirty: false) == [
        .written, [.written, .softDirty], [.written, .huge], [.written, .softDirty, .huge],
      ])
    // Clearing leaves pinned pages dirty, but for huge ones.
    #expect(
      unsettled(softDirty: true) == [
        .softDirty, [.written, .softDirty], [.written, .huge], [.softDirty, .huge],
        [.written, .softDirty, .huge],
      ])
    for softDirty in [false, true] {
      #expect(unsettled(softDirty: softDirty, isPinned: true) == Page.allCases)
      // No further round asks for them, or it copies them anyway.
      #expect(unsettled(softDirty: softDirty, isPinned: true, protects: false) == [])
    }
  }

  /// Whatever the last round knew of it.
  @Test(arguments: [DirtyCriterion.Authority.nobody, .protection, .elsewhere, .everything], [false, true])
  func whatIsPinnedIsCopied(authority: DirtyCriterion.Authority, protects: Bool) {
    for softDirty in [false, true] {
      let view = DirtyCriterion(
        authority: authority, protects: protects, seesSoftDirty: softDirty, isPinned: true)
      #expect(
        pages(view) { $0.verdict(on: $1.rawValue, isFileBacked: false).mustCopy } == Page.allCases)
    }
  }

  /// It is no matter of the next round, whose walk has the same criterion.
  @Test(arguments: [DirtyCriterion.Authority.nobody, .protection, .elsewhere])
  func codeThatProbesReplaceIsCopied(authority: DirtyCriterion.Authority) {
    var criterion = DirtyCriterion(authority: authority, protects: true, seesSoftDirty: false)
    #expect(!criterion.verdict(on: 0, isFileBacked: true).mustCopy)
    criterion.mayBeReplaced = true
    #expect(criterion.verdict(on: 0, isFileBacked: true) == (true, false))
  }

  @Test(arguments: [false, true])
  func whatMayBeGivenUpOfAFileIsCopied(isFileBacked: Bool) {
    let view = DirtyCriterion(authority: .protection, protects: true, seesSoftDirty: false)
    let swapped = UInt64(SLUICE_PAGE_SWAPPED.rawValue)
    #expect(view.verdict(on: swapped, isFileBacked: isFileBacked).mustCopy == isFileBacked)
    #expect(!view.verdict(on: 0, isFileBacked: isFileBacked).mustCopy)
  }

  @Test func nothingIsUnsettledWhereNothingIsFoundOut() {
    #expect(
      Page.allCases.allSatisfy {
        !DirtyCriterion.unseen.verdict(on: $0.rawValue, isFileBacked: false).isUnsettled
      }
    )
  }
}
