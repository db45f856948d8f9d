import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite struct BufferRingStateMachineTests {
  typealias Machine = BufferRingStateMachine<Int>

  @Test func `hands out the buffer that came back last`() {
    var machine = Machine(count: 3)
    #expect(machine.taking() == [0])
    #expect(machine.taking() == [1])
    #expect(machine.taking() == [2])
    #expect(machine.taking() == [])
    for index in [1, 2, 0] { #expect(machine.givingBack(index) == nil) }
    #expect(machine.taking() == [0])
    #expect(machine.taking() == [2])
    #expect(machine.taking() == [1])
  }

  @Test func `touches a buffer only when all touched ones are out`() {
    var machine = Machine(count: 4)
    #expect(machine.touched == 0)
    for _ in 0..<10 {
      #expect(machine.taking() == [0])
      #expect(machine.touched == 1)
      #expect(machine.givingBack(0) == nil)
    }
    _ = machine.taking()
    _ = machine.taking()
    #expect(machine.touched == 2)
    #expect(machine.givingBack(0) == nil)
    #expect(machine.givingBack(1) == nil)
    #expect(machine.touched == 2)
    #expect(machine.taken == 0)
  }

  @Test func `gives a buffer that comes back to whoever waited longest`() {
    var machine = Machine(count: 1)
    _ = machine.taking()
    for waiter in 1...3 { #expect(machine.waiting(waiter) == .suspend) }
    #expect(machine.cancelWaiter(id: 2) == 2)
    #expect(machine.cancelWaiter(id: 2) == nil)
    #expect(machine.givingBack(0) == 1)
    #expect(machine.taken == 1)
    #expect(machine.givingBack(0) == 3)
    #expect(machine.taken == 1)
    #expect(machine.givingBack(0) == nil)
    #expect(machine.taken == 0)
  }

  @Test func `a waiter is resumed for several buffers at once, but for no more than a quarter of all`() {
    var machine = Machine(count: 16)
    machine.batch = 3
    for index in 0..<16 { #expect(machine.taking() == [index]) }
    #expect(machine.waiting(7) == .suspend)
    #expect(machine.givingBack(0) == nil)
    #expect(machine.givingBack(1) == nil)
    #expect(machine.givingBack(2) == 7)
    // The others are there for the taking.
    #expect(machine.taking() == [1])
    #expect(machine.taking() == [0])
    #expect(machine.waiting(8) == .suspend)
    guard case .empty([]) = machine.setLimit(8) else {
      Issue.record("none of those above the new limit is free")
      return
    }
    #expect(machine.givingBack(0) == nil)
    #expect(machine.givingBack(1) == 8)
  }

  /// Else nobody would ever be resumed, where few buffers are left of many.
  @Test(arguments: 1...20, 1...20)
  func `a waiter is resumed at the latest when all buffers are home`(count: Int, batch: Int) {
    var machine = Machine(count: 20)
    for index in 0..<20 { #expect(machine.taking() == [index]) }
    machine.batch = batch
    #expect(machine.waiting(7) == .suspend)
    _ = machine.setLimit(count)
    var resumed: [Int] = []
    for index in 0..<20 {
      if case .resume(let waiter, _) = machine.giveBack(index) { resumed.append(waiter) }
    }
    #expect(resumed == [7])
  }

  @Test func `a buffer that came back before its waiter got in line is taken at once`() {
    var machine = Machine(count: 1)
    _ = machine.taking()
    #expect(machine.taking() == [])
    #expect(machine.givingBack(0) == nil)
    #expect(machine.waiting(7) == .resume(7, 0))
    #expect(machine.taken == 1)
  }

  @Test func `a waiter that was cancelled before it got in line takes nothing`() {
    var machine = Machine(count: 1)
    #expect(machine.waiting(7, isCancelled: true) == .resume(7, nil))
    #expect(machine.taken == 0)
  }

  @Test func `a buffer that is home cannot come back`() async {
    await #expect(processExitsWith: .failure) {
      var machine = BufferRingStateMachine<Int>(count: 1)
      _ = machine.giveBack(0)
    }
  }

  @Test func `a lower limit takes the memory of free buffers at once, of others when they come home`() {
    var machine = Machine(count: 4)
    for index in 0..<4 { #expect(machine.taking() == [index]) }
    #expect(machine.givingBack(3) == nil)
    guard case .empty([3]) = machine.setLimit(2) else {
      Issue.record("buffer 3 is free and has memory")
      return
    }
    var isWithin = machine.isWithinLimit
    #expect(!isWithin)
    #expect(machine.emptied(3) == nil)
    isWithin = machine.isWithinLimit
    #expect(!isWithin, "buffer 2 is still out")
    guard case .empty(2) = machine.giveBack(2) else {
      Issue.record("buffer 2 is above the limit")
      return
    }
    #expect(machine.emptied(2) == nil)
    isWithin = machine.isWithinLimit
    #expect(isWithin)
    #expect(machine.touched == 2)
    #expect(machine.taking() == [], "no more than the limit are handed out")
    #expect(machine.mostTouched == 4)
  }

  @Test func `a higher limit serves those who wait, and a buffer that is being emptied comes later`() {
    var machine = Machine(count: 3)
    for index in 0..<3 { #expect(machine.taking() == [index]) }
    _ = machine.setLimit(1)
    guard case .empty(2) = machine.giveBack(2), case .empty(1) = machine.giveBack(1) else {
      Issue.record("both are above the limit")
      return
    }
    #expect(machine.emptied(1) == nil)
    #expect(machine.waiting(7) == .suspend)
    #expect(machine.waiting(8) == .suspend)
    guard case .resume(let resumed) = machine.setLimit(3) else {
      Issue.record("the limit was raised")
      return
    }
    #expect(resumed.map(\.waiter) == [7])
    #expect(resumed.map(\.index) == [1])
    let last = machine.emptied(2)
    #expect(last?.waiter == 8)
    #expect(last?.index == 2)
  }

  @Test func `only free buffers without memory are touched`() {
    var machine = Machine(count: 4)
    _ = machine.taking()
    #expect(machine.touch(3) == [1, 2])
    #expect(machine.touched == 3)
    #expect(machine.touch(3) == [])
  }

  /// Against a plain array of free buffers and one of waiters.
  @Test(arguments: 1...4)
  func `does what a plain model does over long random walks`(count: Int) {
    var random = SplitMix(seed: UInt64(count))
    var machine = Machine(count: count)
    var free = Array((0..<count).reversed())
    var out: [Int] = []
    var line: [Int] = []
    var lastID = 0
    for _ in 0..<20_000 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        let expected = free.popLast().map { [$0] } ?? []
        #expect(machine.taking() == expected)
        out += expected
      case 1:
        lastID += 1
        let isCancelled = Bool.random(using: &random)
        let outcome = machine.waiting(lastID, isCancelled: isCancelled)
        if isCancelled {
          #expect(outcome == .resume(lastID, nil))
        } else if let index = free.popLast() {
          #expect(outcome == .resume(lastID, index))
          out.append(index)
        } else {
          #expect(outcome == .suspend)
          line.append(lastID)
        }
      case 2:
        let id = Int.random(in: 1...max(1, lastID), using: &random)
        #expect(machine.cancelWaiter(id: UInt64(id)) == (line.contains(id) ? id : nil))
        line.removeAll { $0 == id }
      default:
        guard let index = out.randomElement(using: &random) else { continue }
        let expected = line.isEmpty ? nil : line.removeFirst()
        #expect(machine.givingBack(index) == expected)
        if expected == nil {
          out.removeAll { $0 == index }
          free.append(index)
        }
      }
      #expect(machine.taken == out.count)
    }
  }
}

/// A machine's answer, as a value to compare.
private enum Outcome: Equatable {
  case suspend
  case resume(Int, Int?)
}

extension BufferRingStateMachine<Int> {
  /// The buffer that is taken; empty when it must be waited for.
  fileprivate mutating func taking() -> [Int] {
    if case .take(let index) = take() { [index] } else { [] }
  }

  /// Gives a buffer back that is within the limit.
  ///
  /// - Returns: the waiter that has it then.
  fileprivate mutating func givingBack(_ index: Int) -> Int? {
    switch giveBack(index) {
    case .none: return nil
    case .resume(let waiter, let given):
      #expect(given == index)
      return waiter
    case .empty:
      Issue.record("a buffer within the limit keeps its memory")
      return nil
    }
  }

  /// Waits by a number that is both the waiter and its id.
  fileprivate mutating func waiting(_ id: Int, isCancelled: Bool = false) -> Outcome {
    switch waitToTake(id: UInt64(id), waiter: id, isCancelled: isCancelled) {
    case .suspend: .suspend
    case .resume(let waiter, let index): .resume(waiter, index)
    }
  }
}
