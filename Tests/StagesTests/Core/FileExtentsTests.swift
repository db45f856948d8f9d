import SluicePipeline
import SluiceTestSupport
import Testing

@testable import Sluice

@Suite struct FileExtentsTests {
  private static let block = FileExtents.blockBytes

  private func parts(_ extents: FileExtents, _ range: Range<UInt64>) -> [(Range<UInt64>, UInt64?)] {
    var parts: [(Range<UInt64>, UInt64?)] = []
    extents.forEachPart(of: range) { parts.append(($0, $1)) }
    return parts
  }

  @Test func `neighbours are one extent, and a place once given stays`() {
    var extents = FileExtents(from: 4096)
    extents.place(10 * Self.block + 8192..<10 * Self.block + 12288)
    extents.place(11 * Self.block..<12 * Self.block)
    #expect(extents.extents.count == 1)
    extents.place(5 * Self.block..<5 * Self.block + 4096)
    #expect(extents.extents.map(\.address) == [5 * Self.block, 10 * Self.block])
    #expect(extents.extents.map(\.offset) == [4096 + 2 * Self.block, 4096])
    #expect(extents.end == 4096 + 3 * Self.block)
    let before = extents.extents
    extents.place(10 * Self.block..<12 * Self.block)
    #expect(extents.extents == before)
  }

  @Test func `what is reserved is in one piece, and nothing beside it`() {
    var extents = FileExtents(from: 0)
    extents.reserve(Self.block + 4096..<Self.block + 20480)
    extents.reserve(Self.block + 20480..<5 * Self.block)
    #expect(extents.extents.map(\.address) == [Self.block + 4096])
    #expect(extents.end == 4 * Self.block - 4096)
    // The rest of the block that it begins in.
    extents.place(Self.block..<Self.block + 8192)
    #expect(extents.end == 4 * Self.block)
    #expect(parts(extents, Self.block..<2 * Self.block).map(\.1) == [4 * Self.block - 4096, 0])
  }

  /// The kernel maps a page of its own near the end of all addresses (vsyscall).
  @Test func `the end of all addresses has a place, too`() {
    var extents = FileExtents(from: 1 << 30)
    let page: Range<UInt64> = 0xffff_ffff_ff60_0000..<0xffff_ffff_ff60_1000
    extents.reserve(page)
    #expect(parts(extents, page.lowerBound..<UInt64.max).map(\.1) == [1 << 30, nil])
    extents.place(page)
    #expect(parts(extents, page).map(\.1) == [1 << 30])
  }

  @Test func `what has no place is told`() {
    var extents = FileExtents(from: 0)
    extents.place(2 * Self.block..<3 * Self.block)
    let found = parts(extents, Self.block..<4 * Self.block)
    #expect(
      found.map(\.0) == [
        Self.block..<2 * Self.block, 2 * Self.block..<3 * Self.block, 3 * Self.block..<4 * Self.block,
      ])
    #expect(found.map(\.1) == [nil, 0, nil])
    #expect(parts(extents, 2 * Self.block + 4096..<2 * Self.block + 8192).map(\.1) == [4096])
    #expect(parts(extents, UInt64.max - 4096..<UInt64.max).map(\.1) == [nil])
  }

  /// As a plain model has it: each block has a place of its own, whatever the order in which they came.
  @Test(arguments: 0..<40) func `does what a plain model does`(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var extents = FileExtents(from: 65536)
    var model: [UInt64: UInt64] = [:]
    var end: UInt64 = 65536
    for _ in 0..<60 {
      let first = UInt64.random(in: 0..<64, using: &random)
      let count = UInt64.random(in: 1...5, using: &random)
      let start = first * Self.block + 4096 * UInt64.random(in: 0..<256, using: &random)
      let stop = min(start + count * Self.block, (first + count) * Self.block)
      extents.place(start..<stop)
      for block in first..<(stop + Self.block - 1) / Self.block where model[block] == nil {
        model[block] = end
        end += Self.block
      }
      #expect(extents.end == end)
      var position: UInt64 = 0
      for (range, offset) in parts(extents, 0..<80 * Self.block) {
        #expect(range.lowerBound == position)
        position = range.upperBound
        for block in range.lowerBound / Self.block..<range.upperBound / Self.block {
          #expect(model[block] == offset.map { $0 + block * Self.block - range.lowerBound })
        }
      }
      #expect(position == 80 * Self.block)
    }
  }

  /// Bytes that are not zeros are written where their pages belong, and the rest reads as zeros.
  @Test(arguments: 0..<60) func `places the pages of a chunk`(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var (runs, position): ([PageRun], UInt64) = ([], UInt64.random(in: 0..<300, using: &random) * 4096)
    for _ in 0..<Int.random(in: 1...6, using: &random) {
      let pages = UInt64.random(in: 1...200, using: &random)
      runs.append(PageRun(address: position, byteCount: pages * 4096))
      position += (pages + UInt64.random(in: 1...400, using: &random)) * 4096
    }
    let pages = runs.reduce(0) { $0 + Int($1.byteCount / 4096) }
    let zeros = (0..<pages).map { _ in Int.random(in: 0..<3, using: &random) == 0 }
    var data: [WriteQueue.Part] = []
    for page in 0..<pages where !zeros[page] {
      if let last = data.last, last.position + last.count == page * 4096 {
        data[data.count - 1].count += 4096
      } else {
        data.append(WriteQueue.Part(position: page * 4096, count: 4096))
      }
    }
    var extents = FileExtents(from: 65536)
    for run in runs.reversed() { extents.place(run.address..<run.end) }
    let placed = PlacedPages(runs, data: data, in: extents)
    // Where each page of the chunk went, by its place in the file.
    var written: [UInt64: Int] = [:]
    for part in placed.parts {
      for step in stride(from: 0, to: part.count, by: 4096) {
        written[part.fileOffset + UInt64(step)] = (part.position + step) / 4096
      }
    }
    var blank = Set<UInt64>()
    for range in placed.zeros {
      blank.formUnion(stride(from: range.lowerBound, to: range.upperBound, by: 4096))
    }
    var page = 0
    for run in runs {
      for address in stride(from: run.address, to: run.end, by: 4096) {
        var offset: UInt64?
        extents.forEachPart(of: address..<address + 4096) { offset = $1 }
        guard let offset else {
          Issue.record("\(address) has no place")
          return
        }
        #expect(written[offset] == (zeros[page] ? nil : page))
        #expect(blank.contains(offset) == zeros[page])
        page += 1
      }
    }
    #expect(written.count == zeros.count { !$0 })
    #expect(blank.count == zeros.count { $0 })
  }
}

@Suite struct PageSelectionTests {
  private func pieces(_ selection: PageSelection, _ range: Range<UInt64>) -> [Range<UInt64>] {
    var cursor = PageSelection.Cursor(selection)
    var (taken, position): ([Range<UInt64>], UInt64) = ([], range.lowerBound)
    while position < range.upperBound {
      let part = cursor.next(in: position..<range.upperBound)
      if part.isTaken { taken.append(position..<part.end) }
      position = part.end
    }
    return taken
  }

  @Test func `nothing is taken of what is left out or copied as a whole`() {
    var selection = PageSelection()
    selection.omit(10..<20)
    selection.omit(20..<30)
    selection.omit(50..<60)
    selection.whole = [50..<51, 70..<80]
    #expect(selection.omitted == [10..<30, 50..<60])
    #expect(pieces(selection, 0..<100) == [0..<10, 30..<50, 60..<70, 80..<100])
    #expect(pieces(selection, 12..<55) == [30..<50])
    #expect(pieces(PageSelection(), 5..<9) == [5..<9])
  }

  @Test func `what is copied as a whole comes once, in its order`() {
    var selection = PageSelection()
    selection.whole = [50..<51, 70..<80]
    var cursor = PageSelection.Cursor(selection)
    #expect(cursor.nextWhole(below: 50) == nil)
    #expect(cursor.nextWhole(below: 51) == 50..<51)
    #expect(cursor.nextWhole(below: 60) == nil)
    #expect(cursor.nextWhole(below: .max) == 70..<80)
    #expect(cursor.nextWhole(below: .max) == nil)
  }
}
