import SluiceTestSupport
import Testing

@testable import SluiceTarget

/// Processes with memories that are numbers, as the kernel compares them.
private final class Machine {
  var memories: [Int32: Int] = [:]
  var untold: Set<Int32> = []
  /// How often it was asked.
  var count = 0
  /// What happens at a comparison, by its number.
  var event: (Int, Machine) -> Void = { _, _ in }

  func compare(_ one: Int32, _ other: Int32) -> MemoryOrder.Answer {
    count += 1
    event(count, self)
    if untold.contains(one) || untold.contains(other) { return .untold }
    guard let first = memories[one], let second = memories[other] else { return .gone }
    return first == second ? .same : first < second ? .before : .after
  }

  func owners(_ pids: [Int32]) -> [MemoryOrder.Owner] { MemoryOrder.owners(of: pids, compare) }
}

@Suite("Order of memories")
struct MemoryOrderTests {
  /// What comparing all with all finds.
  private func expected(_ pids: [Int32], _ memories: [Int32: Int]) -> [MemoryOrder.Owner] {
    pids.enumerated().map { index, pid in
      pids[..<index].first { memories[$0] == memories[pid] }.map { .other($0) } ?? .itself
    }
  }

  @Test func findsTheFirstOfAllThatShareAMemoryWithFewComparisons() {
    var random = SplitMix(seed: 1)
    for count in [1, 2, 3, 10, 500] {
      for memoryCount in [1, 2, count / 2 + 1, 4 * count] {
        let machine = Machine()
        let pids = (1...Int32(count)).shuffled(using: &random)
        for pid in pids { machine.memories[pid] = Int.random(in: 0..<memoryCount, using: &random) }
        #expect(machine.owners(pids) == expected(pids, machine.memories))
        #expect(machine.count <= count * 10, "\(count) processes: \(machine.count) comparisons")
      }
    }
  }

  /// Whoever executes a program in the middle has a memory in another place of the order, where nobody looks for it.
  @Test func isRightThoughProcessesExecuteAndEndMeanwhile() {
    var random = SplitMix(seed: 2)
    for _ in 0..<300 {
      let machine = Machine()
      let pids = Array(1...Int32(24))
      let sharing = pids.filter { $0 % 3 == 0 }
      for pid in pids { machine.memories[pid] = sharing.contains(pid) ? 50 : Int(pid) * 100 }
      // All that share are left alone; among the others there is much coming and going.
      machine.event = { _, machine in
        guard let pid = pids.randomElement(using: &random), !sharing.contains(pid) else { return }
        machine.memories[pid] = Bool.random(using: &random) ? nil : Int.random(in: 51..<5000, using: &random)
      }
      let owners = machine.owners(pids)
      for (pid, owner) in zip(pids, owners) where sharing.contains(pid) {
        #expect(owner == (pid == 3 ? .itself : .other(3)), "\(pid)")
      }
    }
  }

  @Test func tellsOfWhomTheKernelDoesNotTell() {
    let machine = Machine()
    machine.memories = [1: 1, 2: 2, 3: 1, 4: 2]
    machine.untold = [2]
    #expect(machine.owners([1, 2, 3, 4]) == [.itself, .untold, .other(1), .itself])
  }

  @Test func findsOthersThatShareWithOneOfThese() {
    let machine = Machine()
    machine.memories = [1: 5, 2: 3, 10: 3, 11: 4, 12: 5, 13: 4]
    let found = MemoryOrder.owners(of: [10, 11, 12, 13, 14], among: [1, 2], machine.compare)
    #expect(found == [.other(2), .itself, .other(1), .itself, .itself])
  }
}
