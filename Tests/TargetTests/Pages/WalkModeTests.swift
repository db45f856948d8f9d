import Testing

@testable import SluiceTarget

@Suite("Walk mode")
struct WalkModeTests {
  private let anonymous = MappedArea(start: 0x1000, end: 0x2000, pages: .own, isCode: false)
  private let vdso = MappedArea(start: 0x1000, end: 0x2000, pages: .all, isCode: false)

  private func criterion(
    _ mode: WalkMode, _ area: MappedArea, isRegistered: Bool = true, isPinned: Bool = false
  ) -> DirtyCriterion? {
    mode.criterion(for: area, isRegistered: isRegistered, isPinned: isPinned, probesHideWrites: false)
  }

  @Test(arguments: [false, true], [false, true])
  func aRoundHeedsTheProtectionWhereThereIsOne(protects: Bool, seesSoftDirty: Bool) {
    let mode = WalkMode.round(protects: protects, seesSoftDirty: seesSoftDirty, isFirst: false)
    #expect(
      criterion(mode, anonymous)
        == DirtyCriterion(authority: .protection, protects: protects, seesSoftDirty: seesSoftDirty))
    let unprotected = DirtyCriterion(authority: .everything, protects: false, seesSoftDirty: seesSoftDirty)
    #expect(criterion(mode, anonymous, isRegistered: false) == unprotected)
    #expect(criterion(mode, vdso) == unprotected)
  }

  @Test(arguments: [false, true])
  func theFirstRoundHeedsWhatIsKnownFromBefore(isRegistered: Bool) {
    let mode = WalkMode.round(protects: true, seesSoftDirty: true, isFirst: true)
    let found = criterion(mode, anonymous, isRegistered: isRegistered)
    #expect(found?.authority == .elsewhere)
    #expect(found?.protects == isRegistered)
    #expect(criterion(mode, vdso)?.authority == .elsewhere)
    #expect(criterion(mode, vdso)?.protects == false)
  }

  @Test func pinsMatterWherePagesMayBeLeftToAParent() {
    let round = WalkMode.round(protects: true, seesSoftDirty: false, isFirst: false)
    for (mode, isHeeded) in [(round, true), (.knownWrites, true), (.everything, false), (.sample, false)] {
      #expect(criterion(mode, anonymous, isPinned: true)?.isPinned == isHeeded)
      #expect(criterion(mode, anonymous, isPinned: false)?.isPinned == false)
    }
  }

  @Test func theVdsoIsNeitherSampledNorProtected() {
    #expect(criterion(.sample, vdso) == nil)
    #expect(criterion(.protectAll, vdso) == nil)
    #expect(criterion(.protectAll, anonymous, isRegistered: false) == nil)
    #expect(criterion(.everything, vdso) == .unseen)
  }
}
