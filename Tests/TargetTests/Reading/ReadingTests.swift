import CSluiceLinux
import Testing

@testable import SluiceTarget

/// The bookkeeping of a read, tried in every way that it can go for a few pages.
@Suite("Reading", .timeLimit(.minutes(15)))
struct ReadingTests {
  private static let pageSize: UInt64 = 16
  private static let firstAddress: UInt64 = 0x1000

  /// All ways to lay so many pages out in runs. Between two runs is a gap, as the planner joins those that
  /// touch.
  static func layouts(pages: Int) -> [[Int]] {
    guard pages > 0 else { return [[]] }
    return (1...pages).flatMap { first in layouts(pages: pages - first).map { [first] + $0 } }
  }

  /// One page of what should come out, or one that should not.
  private enum Page: Equatable {
    case read
    case vanished
  }

  @Test(arguments: 1...5)
  func agreesWithAListOfPages(pages: Int) throws {
    var ways = 0
    for layout in Self.layouts(pages: pages) {
      var choices = Choices()
      repeat {
        try follow(layout, &choices)
        ways += 1
      } while choices.next()
    }
    // 2 to the power of (pages - 1) layouts alone are as many; each page is read or vanishes.
    #expect(ways >= 1 << (2 * pages - 1))
  }

  /// Reads once as `RemoteMemory` does, with the kernel's answers taken from `choices`.
  private func follow(_ layout: [Int], _ choices: inout Choices) throws {
    let pages = layout.reduce(0, +)
    var addresses: [UInt64] = []
    var runs: [MemoryRun] = []
    var next = Self.firstAddress
    for count in layout {
      let length = UInt64(count) * Self.pageSize
      runs.append(MemoryRun(address: next, length: length))
      addresses += stride(from: next, to: next + length, by: Int(Self.pageSize))
      next += length + Self.pageSize
    }
    // Exactly as many places as the buffer has pages: one more used would be out of bounds, and trap.
    let table = UnsafeMutableBufferPointer<MemoryRun>.allocate(capacity: pages)
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: pages * Int(Self.pageSize), alignment: 16)
    defer {
      unsafe table.deallocate()
      unsafe bytes.deallocate()
    }
    unsafe table.initialize(repeating: MemoryRun())
    for (index, run) in runs.enumerated() { unsafe table[index] = run }

    var reading = unsafe Reading(
      table: table, runCount: runs.count, bytes: bytes, pageSize: Self.pageSize)
    var fate: [Page] = []
    while reading.isUnfinished {
      let batch = reading.nextBatch
      let left = pages - fate.count
      #expect(batch.byteCount == left * Int(Self.pageSize))
      #expect(reading.current.address == addresses[fate.count])
      let done = fate.count(where: { $0 == .read })
      #expect(unsafe reading.destination == bytes.baseAddress! + done * Int(Self.pageSize))
      #expect(reading.room >= batch.byteCount)

      // The kernel stops at a page, or within one when that is taken away meanwhile.
      let got = choices.pick(left + 1)
      let within: UInt64 = got < left && choices.pick(2) == 1 ? 7 : 0
      #expect(reading.keep(UInt64(got) * Self.pageSize + within) == UInt64(got) * Self.pageSize)
      fate += [Page](repeating: .read, count: got)
      guard got < left else { continue }
      let inRun = Int(reading.current.length / Self.pageSize)
      #expect(inRun > 0)
      if choices.pick(2) == 0 {
        // Up to a next mapping, which may be beyond the run.
        let count = choices.pick(inRun) + 1
        let isBeyond = count == inRun && choices.pick(2) == 1
        reading.skip(
          upTo: isBeyond ? UInt64.max : reading.current.address + UInt64(count) * Self.pageSize)
        fate += [Page](repeating: .vanished, count: count)
      } else {
        let count = choices.pick(inRun) + 1
        reading.keep(UInt64(count) * Self.pageSize)
        fate += [Page](repeating: .read, count: count)
      }
    }

    let outcome = reading.outcome
    let expected = zip(addresses, fate).filter { $0.1 == .read }.map(\.0)
    try #require(fate.count == pages)
    #expect(outcome.byteCount == expected.count * Int(Self.pageSize))
    #expect(outcome.vanishedBytes == UInt64(pages - expected.count) * Self.pageSize)
    var found: [UInt64] = []
    for index in 0..<outcome.runCount {
      let run = unsafe table[index]
      #expect(run.length > 0)
      if index > 0 {
        let previous = unsafe table[index - 1]
        #expect(previous.address + previous.length < run.address, "runs that touch are one")
      }
      found += stride(from: run.address, to: run.address + run.length, by: Int(Self.pageSize))
    }
    #expect(found == expected, "\(layout): \(fate)")
  }
}

/// Goes through all sequences of choices, like an odometer.
private struct Choices {
  private var taken: [(choice: Int, of: Int)] = []
  private var position = 0

  mutating func pick(_ count: Int) -> Int {
    if position == taken.count { taken.append((0, count)) }
    precondition(taken[position].of == count, "the same choices lead to the same question")
    position += 1
    return taken[position - 1].choice
  }

  /// Turns to the next sequence; false after the last.
  mutating func next() -> Bool {
    position = 0
    while let last = taken.popLast() {
      if last.choice + 1 < last.of {
        taken.append((last.choice + 1, last.of))
        return true
      }
    }
    return false
  }
}
