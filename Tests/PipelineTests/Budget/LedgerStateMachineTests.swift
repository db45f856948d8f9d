import Testing

@testable import SluicePipeline

@Suite struct LedgerStateMachineTests {
  typealias Need = LedgerStateMachine.Need

  @Test func `one holder has all but its fixed memory for its buffers`() {
    var machine = LedgerStateMachine(total: 100)
    #expect(machine.join(Need(fixed: 30, leastForBuffers: 20)) == .admitted(1))
    #expect(machine.shareForBuffers == 70)
    #expect(machine.leave(1) == [])
    #expect(machine.ids == [])
  }

  @Test func `holders have the same for their buffers, and never more than there is`() {
    var machine = LedgerStateMachine(total: 100)
    _ = machine.join(Need(fixed: 10, leastForBuffers: 10))
    #expect(machine.join(Need(fixed: 20, leastForBuffers: 10)) == .admitted(2))
    #expect(machine.shareForBuffers == 35)
    #expect(machine.leave(1) == [])
    #expect(machine.shareForBuffers == 80)
  }

  @Test func `one that does not fit beside the others waits for an end`() {
    var machine = LedgerStateMachine(total: 100)
    _ = machine.join(Need(fixed: 10, leastForBuffers: 40))
    #expect(machine.join(Need(fixed: 0, leastForBuffers: 50)) == .wait(2))
    // What fits must not overtake what waits.
    #expect(machine.join(Need(fixed: 0, leastForBuffers: 1)) == .wait(3))
    #expect(!machine.isHolder(2))
    #expect(machine.leave(1) == [2, 3])
    #expect(machine.ids == [2, 3])
  }

  @Test func `one that gives up waiting lets those behind it in`() {
    var machine = LedgerStateMachine(total: 100)
    _ = machine.join(Need(fixed: 10, leastForBuffers: 40))
    _ = machine.join(Need(fixed: 0, leastForBuffers: 90))
    _ = machine.join(Need(fixed: 0, leastForBuffers: 10))
    #expect(machine.leave(2) == [3])
  }

  @Test func `what the whole budget has no room for is refused at once`() {
    var machine = LedgerStateMachine(total: 100)
    #expect(machine.join(Need(fixed: 60, leastForBuffers: 50)) == .impossible)
    #expect(machine.join(Need(fixed: 100, leastForBuffers: 0)) == .impossible)
    #expect(machine.join(Need(fixed: 200, leastForBuffers: 0)) == .impossible)
  }

  @Test func `a holder's buffers that are larger than was known keep others out`() {
    var machine = LedgerStateMachine(total: 100)
    _ = machine.join(Need(fixed: 0, leastForBuffers: 10))
    machine.raise(leastForBuffers: 60, of: 1)
    #expect(machine.join(Need(fixed: 0, leastForBuffers: 10)) == .wait(2))
  }
}
