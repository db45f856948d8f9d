import Testing

@testable import SluiceTarget

@Suite("Turns at the mmap_lock")
struct MmapLockPacerTests {
  private let microsecond: UInt64 = 1000

  @Test func endAfterAMillisecondOfHoldsInCloseSequence() {
    var turns = MmapLockPacer()
    var gaps: [UInt64] = []
    for call in UInt64(0)..<100 {
      let began = 1_000_000 + call * 40 * microsecond
      if turns.isOver(afterHolding: began..<began + 30 * microsecond) { gaps.append(call) }
    }
    // 34 holds of 30 µs are the first that make a millisecond.
    #expect(gaps == [33, 67])
  }

  @Test func doNotEndWhereTheLockIsLeftAloneAnyway() {
    var turns = MmapLockPacer()
    for call in UInt64(0)..<100 {
      let began = 1_000_000 + call * 1000 * microsecond
      let isOver = turns.isOver(afterHolding: began..<began + 900 * microsecond)
      #expect(!isOver)
    }
  }

  @Test func endAfterOneLongHold() {
    var turns = MmapLockPacer()
    let afterLong = turns.isOver(afterHolding: 5_000_000..<6_000_000)
    #expect(afterLong)
    let afterNext = turns.isOver(afterHolding: 6_000_100..<6_999_000)
    #expect(!afterNext)
  }
}
