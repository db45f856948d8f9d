import Testing

@testable import SluiceTarget

@Suite("Pinned memory")
struct PinnedMemoryTests {
  /// The files of io_urings as Linux 6.1 and 6.18 write them.
  @Test(arguments: [
    ("SqMask:\t0x3\nUserFiles:\t0\nUserBufs:\t0\nPollList:\n", []),
    (
      "UserFiles:\t1\n    0: pipe:[4711]\nUserBufs:\t2\n    0: 0x7f0000000000/4096\n    1: 0x7f0000200000/2097152\nPollList:\n",
      [0x7f00_0000_0000..<0x7f00_0000_1000, 0x7f00_0020_0000..<0x7f00_0040_0000]
    ),
    // Places of the table that are not taken: none before Linux 6.13, "<none>" since.
    (
      "UserBufs:\t3\n    0: <none>\n    1: 0x0/0\n    2: 0x7f0000000010/16\nPollList:\n",
      [0x7f00_0000_0010..<0x7f00_0000_0020]
    ),
    // Busy, on Linux 6.1, and since 6.13; cut off; and not what it should be.
    ("UserFiles:\t1\nUserBufs:\t2\nPollList:\n", nil), ("pos:\t0\nflags:\t02\n", nil), ("", nil),
    ("UserBufs:\t2\n    0: 0x7f0000000000/4096\n", nil),
    ("UserBufs:\t1\n    0: 0xfffffffffffff000/8192\n", nil), ("UserBufs:\t?\n", nil),
  ])
  func isReadFromTheFileOfARing(text: String, expected: [Range<UInt64>]?) {
    #expect(PinnedMemory.ringBuffers(in: text) == expected)
  }

  @Test(arguments: [
    ([], []), ([0x1010..<0x1020], [0x1000..<0x2000]), ([0x1000..<0x2000], [0x1000..<0x2000]),
    // In no order, one within another, and touching.
    ([0x5000..<0x6000, 0x1fff..<0x2001], [0x1000..<0x3000, 0x5000..<0x6000]),
    ([0x1000..<0x9000, 0x2000..<0x3000], [0x1000..<0x9000]),
    ([0x1000..<0x2000, 0x2000..<0x3000], [0x1000..<0x3000]),
  ])
  func isWholePagesInOrder(ranges: [Range<UInt64>], expected: [Range<UInt64>]) {
    #expect(PinnedMemory.joined(ranges, pageSize: 0x1000) == expected)
  }

  @Test func cutsARangeWhereItBeginsAndEnds() {
    let pinned = PinnedMemory(ranges: [0x2000..<0x4000, 0x6000..<0x7000], isKnown: true)
    func pieces(_ range: Range<UInt64>, of pinned: PinnedMemory) -> [String] {
      var cursor = pinned.cursor
      var pieces: [String] = []
      var position = range.lowerBound
      while position < range.upperBound {
        let (isPinned, end) = cursor.next(in: position..<range.upperBound)
        pieces.append("\(String(position, radix: 16))-\(String(end, radix: 16)) \(isPinned)")
        position = end
      }
      return pieces
    }
    #expect(pieces(0x0000..<0x2000, of: pinned) == ["0-2000 false"])
    #expect(pieces(0x2000..<0x4000, of: pinned) == ["2000-4000 true"])
    #expect(pieces(0x3000..<0x3800, of: pinned) == ["3000-3800 true"])
    #expect(
      pieces(0x1000..<0x9000, of: pinned) == [
        "1000-2000 false", "2000-4000 true", "4000-6000 false", "6000-7000 true", "7000-9000 false",
      ])
    #expect(pieces(0x1000..<0x9000, of: .none) == ["1000-9000 false"])
    // Where not all of it was found, all memory may be pinned.
    let unknown = PinnedMemory(ranges: pinned.ranges, isKnown: false)
    #expect(pieces(0x1000..<0x9000, of: unknown) == ["1000-9000 true"])
    var cursor = pinned.cursor
    // Ranges that are passed over, from one question to the next.
    let answers = [0x5000..<0x5800, 0x6800..<0x8000].map { cursor.next(in: $0) }
    #expect(answers.map(\.isPinned) == [false, true] && answers.map(\.end) == [0x5800, 0x7000])
  }
}
