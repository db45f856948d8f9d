import CSluiceLinux
import Foundation
import SluiceTestSupport
import Synchronization
import Testing

@testable import SluiceTarget

@Suite("Stopped tree", .serialized, .timeLimit(.minutes(15)))
struct StoppedTreeTests {
  /// Processes that share the memory are not copied for themselves; but were one of them running, it would write to
  /// pages between the look at what was written and the clearing of that, and these would be lost.
  @Test func `those that share the memory stand still, too`() async throws {
    try await ThreadTarget.run(["--spin", "1", "--share", "2"]) { target in
      try await target.untilAllSpin(3)
      try await blocking {
        var tree = try ProcessTree(root: target.pid)
        #expect(tree.processes.map(\.pid) == [target.pid])
        #expect(tree.skipped.count == 2)
        var stopped = try StoppedTree(of: tree, freezing: nil)
        try stopped.stop(&tree)
        let before = try target.spins(3)
        usleep(10_000)
        #expect(try target.spins(3) == before)
        #expect(tree.processes.map(\.pid) == [target.pid])
        #expect(tree.skipped.count == 2)
        stopped.resume()
      }
      try await target.untilAllSpin(3)
    }
  }

  /// Its children live for a moment, and execute another program in that.
  @Test func `descendants that end are left out, and those that change are opened anew`() async throws {
    let script = "echo ready; while :; do for each in 1 2 3 4; do sleep 0.002 & done; wait; done"
    var command = try Command(installed: "bash", ["-c", script])
    command.output = .lines
    try await withProgram(command) { program in
      #expect(try await program.nextLine() == "ready")
      let found = try await blocking {
        var found = 0
        for _ in 0..<100 {
          // Not always in the same moment after it was let go.
          usleep(.random(in: 0..<5000))
          var tree = try ProcessTree(root: program.pid)
          // What goes on between the two in a round.
          usleep(500)
          var stopped = try StoppedTree(of: tree, freezing: nil)
          try stopped.stop(&tree)
          for process in tree.processes { try process.checkStillTheSame() }
          found += tree.processes.count - 1
          stopped.resume()
        }
        return found
      }
      #expect(found > 0, "some of them were there")
    }
  }

  // MARK: SIGKILL at every call

  /// Whenever it comes, the kernel lets go of the threads.
  @Test func `goes on when we are killed, wherever that is`() async throws {
    try await ThreadTarget.run(["--spin", "2", "--share", "1"]) { target in
      let calls = try await Self.calls(pid: target.pid, freezing: nil)
      // Each of the four threads is seized and told to stop.
      try #require(calls > 8)
      for call in 1...calls {
        await Self.expectKilled(pid: target.pid, freezing: nil, at: call)
        try await eventually("nobody holds it after a kill at call \(call)") {
          try target.threads().allSatisfy { $0.state != "t" }
            && ProcessMemory.status("TracerPid", of: target.pid) == 0
        }
        try await target.untilAllSpin(3)
      }
    }
  }

  /// Nothing thaws a cgroup by itself; the guard does, unless somebody else has frozen it.
  @Test(arguments: [false, true])
  func `a cgroup is as it was when we are killed, wherever that is`(isFrozenBefore: Bool) async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "1M", "--write-rate", "max"]) { target in
      try cgroup.add(target.pid)
      if isFrozenBefore {
        try cgroup.freeze()
        try await eventually("it is frozen") { try cgroup.isFrozen() }
      }
      let calls = try await Self.calls(pid: target.pid, freezing: cgroup.path)
      #expect(try cgroup.isFrozen() == isFrozenBefore)
      try #require(calls > 8)
      for call in 1...calls {
        await Self.expectKilled(pid: target.pid, freezing: cgroup.path, at: call)
        // A guard that were to thaw it wrongly would do so in a moment.
        if isFrozenBefore { usleep(50_000) }
        try await eventually("the cgroup is as it was after a kill at call \(call)") {
          try cgroup.isFrozen() == isFrozenBefore
        }
      }
      if isFrozenBefore { try cgroup.thaw() }
      try await target.check()
    }
  }

  /// How many calls that can be made to fail a stop makes, up to its end.
  private static func calls(pid: Int32, freezing cgroup: String?) async throws -> Int {
    try await blocking {
      Countdown.start(at: .max)
      defer { Countdown.stop() }
      try stopAndResume(pid: pid, freezing: cgroup)
      return Countdown.calls
    }
  }

  private static func expectKilled(pid: Int32, freezing cgroup: String?, at call: Int) async {
    await #expect(processExitsWith: .signal(SIGKILL), "call \(call)") {
      [pid = pid as Int32, cgroup = cgroup as String?, call = call as Int] in
      Countdown.start(at: call)
      try stopAndResume(pid: pid, freezing: cgroup)
      // It may need a call less than the one before.
      kill(getpid(), SIGKILL)
    }
  }
}

/// Outside of the suite: what runs in a process of its own captures nothing of it.
private func stopAndResume(pid: Int32, freezing cgroup: String?) throws {
  var tree = try ProcessTree(root: pid)
  var stopped = try StoppedTree(of: tree, freezing: cgroup)
  try stopped.stop(&tree)
  stopped.resume()
}

/// Kills this process at a call of the thread that starts it.
private enum Countdown {
  private static let thread = Atomic<Int32>(0)
  private static let count = Atomic<Int>(0)
  private static let last = Atomic<Int>(.max)

  static var calls: Int { count.load(ordering: .relaxed) }

  static func start(at call: Int) {
    count.store(0, ordering: .relaxed)
    last.store(call, ordering: .relaxed)
    thread.store(sluice_thread_id(), ordering: .relaxed)
    unsafe sluice_set_fault_handler { _, _ in
      Countdown.call()
      return 0
    }
  }

  static func stop() { sluice_set_fault_handler(nil) }

  private static func call() {
    guard sluice_thread_id() == thread.load(ordering: .relaxed) else { return }
    if count.add(1, ordering: .relaxed).newValue == last.load(ordering: .relaxed) { kill(getpid(), SIGKILL) }
  }
}
