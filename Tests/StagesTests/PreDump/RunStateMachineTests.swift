import Testing

@testable import Sluice

@Suite("Run state machine") struct RunStateMachineTests {
  private static func undo(_ states: RunStateMachine.State...) -> [RunStateMachine.Undo] {
    var machine = RunStateMachine()
    for state in states { machine.reach(state) }
    return machine.undo
  }

  @Test func `each state has its undo`() {
    #expect(Self.undo() == [.abortSink])
    #expect(Self.undo(.parentClaimed) == [.abortSink, .putParentBack])
    #expect(Self.undo(.parentClaimed, .stopped) == [.resume, .abortSink, .putParentBack])
    #expect(Self.undo(.parentClaimed, .stopped, .cleared) == [.resume, .abortSink])
    #expect(Self.undo(.stopped, .reading) == [.resume, .abortSink])
    #expect(Self.undo(.cleared, .reading) == [.abortSink])
    #expect(Self.undo(.parentClaimed, .cleared, .reading, .runningAgain, .written) == [.abortSink])
  }

  @Test func `what is published stays, and what is left stopped is resumed where that fails`() {
    #expect(Self.undo(.stopped, .reading, .runningAgain, .written, .published) == [.resume])
    #expect(Self.undo(.parentClaimed, .cleared, .reading, .runningAgain, .written, .published) == [])
  }

  @Test func `a tree is stopped again, and processes are cleared one by one`() {
    #expect(Self.undo(.stopped, .stopped, .cleared, .cleared) == [.resume, .abortSink])
  }

  @Test func `a parent that has its inventory back is nobody's concern any more`() {
    var machine = RunStateMachine()
    machine.reach(.parentClaimed)
    machine.reach(.stopped)
    machine.releaseParent()
    #expect(machine.state == .prepared)
    #expect(machine.undo == [.abortSink])
    machine.reach(.parentClaimed)
    #expect(machine.undo == [.abortSink, .putParentBack])
  }

  @Test func `a run does not go back`() async {
    await #expect(processExitsWith: .failure) {
      var machine = RunStateMachine()
      machine.reach(.reading)
      machine.reach(.stopped)
    }
    await #expect(processExitsWith: .failure) {
      var machine = RunStateMachine()
      machine.reach(.parentClaimed)
      machine.reach(.cleared)
      machine.releaseParent()
    }
  }
}
