import Testing

@testable import sluice

@Suite struct AddressMapTests {
  private func lines(_ runs: [(ClosedRange<UInt64>, Bool)], width: Int = 60) -> [String] {
    var map = AddressMap(width: width, pageSize: 4096)
    for (pages, _) in runs { map.outline(from: pages.lowerBound << 12, to: (pages.upperBound + 1) << 12) }
    for (pages, isInParent) in runs {
      map.fill(from: pages.lowerBound << 12, to: (pages.upperBound + 1) << 12, isInParent: isInParent)
    }
    return map.lines
  }

  @Test func `shows what is here, in the parent and nowhere`() {
    #expect(
      lines([(0x10...0x13, false), (0x14...0x17, true), (0x1c...0x1f, false)])
        == ["000000010000-000000020000     64 KiB ####++++....####"])
    #expect(lines([(1...1, false)]) == ["000000001000-000000002000      4 KiB #"])
    #expect(lines([]) == [])
  }

  @Test func `parts far from each other have lines of their own`() {
    let map = lines([(0x10...0x1f, false), (0x7f_0000...0x7f_000f, true)])
    #expect(map.count == 2)
    #expect(map[1].hasSuffix(" ++++++++++++++++"))
  }

  @Test func `never more lines than a screen has, nor more columns`() {
    let runs = (UInt64(1)...5_000).map { ($0 << 12...$0 << 12, $0 % 2 == 0) }
    for width in [10, 60, 100, 300] {
      let map = lines(runs, width: width)
      #expect((1...40).contains(map.count))
      #expect(map.allSatisfy { $0.count <= max(width, 52) })
    }
  }
}
