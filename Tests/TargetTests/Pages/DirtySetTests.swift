import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite struct DirtySetTests {
  private static let page: UInt64 = 4096

  /// Asks for every page of a range of pages, through answers that may be longer than a page.
  private func dirtyPages(of set: DirtySet, task: Int, upTo last: UInt64) -> Set<UInt64> {
    var cursor = set.cursor(ofProcess: task)
    var pages: Set<UInt64> = []
    var position: UInt64 = 0
    while position < last * Self.page {
      let (isDirty, end) = cursor.next(in: position..<last * Self.page)
      if isDirty { pages.formUnion(position / Self.page..<end / Self.page) }
      position = end
    }
    return pages
  }

  @Test func `keeps tasks apart, and joins what touches`() {
    var set = DirtySet(byteCount: DirtySet.smallestBytes, processCount: 3)
    set.beginProcess()
    set.add(from: 0x1000, to: 0x2000)
    set.add(from: 0x2000, to: 0x4000)
    set.beginProcess()
    set.beginProcess()
    set.add(from: 0x4000, to: 0x5000)
    #expect(set.runCount == 2)
    #expect(dirtyPages(of: set, task: 0, upTo: 16) == [1, 2, 3])
    #expect(dirtyPages(of: set, task: 1, upTo: 16) == [])
    #expect(dirtyPages(of: set, task: 2, upTo: 16) == [4])
  }

  /// Whatever is added, and however little memory there is: every page that was added is in the set.
  @Test(arguments: [0, 64, 1024, 64 << 10])
  func `never forgets a page`(byteCount: Int) {
    for seed in UInt64(1)...40 {
      var random = SplitMix(seed: seed)
      let tasks = Int.random(in: 1...5, using: &random)
      var set = DirtySet(byteCount: byteCount, processCount: tasks)
      var added: [Set<UInt64>] = []
      for task in 0..<tasks {
        set.beginProcess()
        added.append([])
        var position: UInt64 = 0
        for _ in 0..<Int.random(in: 0...400, using: &random) {
          position += UInt64.random(in: 0...30, using: &random)
          let length = UInt64.random(in: 1...8, using: &random)
          set.add(from: position * Self.page, to: (position + length) * Self.page)
          added[task].formUnion(position..<position + length)
          position += length
        }
      }
      for task in 0..<tasks {
        let found = dirtyPages(of: set, task: task, upTo: 20_000)
        #expect(found.isSuperset(of: added[task]), "seed \(seed), task \(task)")
        if set.joinedGap == 0 { #expect(found == added[task], "seed \(seed), task \(task)") }
      }
      #expect(set.usedBytes <= max(byteCount, DirtySet.leastBytes(processCount: tasks)))
    }
  }

  @Test func `takes two bytes for a page of every two`() {
    var set = DirtySet(byteCount: 1 << 20, processCount: 1)
    set.beginProcess()
    for page in UInt64(0)..<500_000 {
      set.add(from: 1 << 40 + 2 * page * Self.page, to: 1 << 40 + (2 * page + 1) * Self.page)
    }
    #expect(set.runCount == 500_000)
    #expect(set.joinedGap == 0)
    #expect(set.usedBytes <= 1_000_010)
  }

  @Test func `joins the smallest gaps first`() {
    // Pairs of pages one page apart, the pairs far from each other: a pair takes three bytes as one run, five as two.
    var set = DirtySet(byteCount: 40 * 4, processCount: 1)
    set.beginProcess()
    for pair in UInt64(1)...40 {
      set.add(from: pair << 20, to: pair << 20 + 0x1000)
      set.add(from: pair << 20 + 0x2000, to: pair << 20 + 0x3000)
    }
    #expect(set.runCount < 80)
    #expect(set.joinedGap == 4096)
    var cursor = set.cursor(ofProcess: 0)
    let first = cursor.next(in: 1 << 20..<41 << 20)
    #expect(first.isDirty)
    #expect(first.end == 1 << 20 + 0x3000)
    let second = cursor.next(in: first.end..<41 << 20)
    #expect(!second.isDirty)
    #expect(second.end == 2 << 20)
  }
}
