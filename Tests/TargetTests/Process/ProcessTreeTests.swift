import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Process tree", .timeLimit(.minutes(15)))
struct ProcessTreeTests {
  @Test(arguments: [RelationTarget.Relation.child, .sibling, .orphan])
  func hasOneOfThoseThatShareAMemory(relation: RelationTarget.Relation) async throws {
    try await RelationTarget.run(relation) { target in
      let tree = try ProcessTree(root: target.tree)
      #expect(tree.processes.map(\.pid) == [target.tree, target.owner])
      #expect(tree.skipped.map(\.pid) == [target.other])
      #expect(tree.skipped.first?.reason == "shares the memory of process \(target.owner)")
      #expect(tree.unclear.isEmpty)
      // That one shares the memory is its owner's affair, whichever of the two that is to be.
      let other = try TargetProcess(pid: target.other)
      let known = try ProcessTree(root: target.tree, known: [other.identity])
      #expect(known.processes.map(\.pid) == [target.tree, target.other])
    }
  }

  @Test func hasAMemoryWhoseOwnerHasEndedByAnotherOneThatSharesIt() async throws {
    try await RelationTarget.run(.sibling) { target in
      var tree = try ProcessTree(root: target.tree)
      try await target.end(target.owner)
      try tree.settle()
      #expect(tree.processes.map(\.pid) == [target.tree, target.other])
      #expect(tree.skipped.map(\.pid) == [target.owner])
      #expect(try ProcessTree(root: target.tree).processes.map(\.pid) == [target.tree, target.other])
    }
  }

  @Test func hasOneThatExecutesAProgramByItself() async throws {
    try await RelationTarget.run(.sibling) { target in
      var tree = try ProcessTree(root: target.tree)
      try await target.executeOther()
      #expect(try tree.grow().map(\.pid) == [target.other])
      #expect(tree.processes.map(\.pid) == [target.tree, target.owner, target.other])
      for process in tree.processes { try process.checkStillTheSame() }
      #expect(tree.skipped.isEmpty)
    }
  }

  @Test func findsOutsideWhatSharesItsMemory() async throws {
    try await RelationTarget.run(.outside) { target in
      var tree = try ProcessTree(root: target.tree)
      #expect(tree.processes.map(\.pid) == [target.owner])
      try tree.lookOutside()
      let expected = Outsider(pid: target.other, owner: target.owner, isCertain: true)
      #expect(tree.outsiders == [expected])
      // Of both, named by what both are below, none is outside.
      var whole = try ProcessTree(root: target.program.pid)
      try whole.lookOutside()
      #expect(whole.outsiders.isEmpty)
    }
  }

  /// Nobody can hold it still by its pid.
  @Test func findsBelowItWhatSharesItsMemoryAndHasNoMainThread() async throws {
    try await RelationTarget.run(.headless) { target in
      try await eventually("the main thread has ended") {
        try String(contentsOfFile: "/proc/\(target.other)/stat", encoding: .utf8).contains(") Z ")
      }
      var tree = try ProcessTree(root: target.tree)
      #expect(tree.processes.map(\.pid) == [target.tree, target.owner])
      #expect(tree.skipped.map(\.pid) == [target.other])
      try tree.lookOutside()
      #expect(tree.outsiders == [Outsider(pid: target.other, owner: target.owner, isCertain: true)])
    }
  }

  @Test(.needsRoot) func hasOneOfThoseWithTheSamePidInTheirNamespaces() async throws {
    try await RelationTarget.run(.names) { target in
      var tree = try ProcessTree(root: target.tree)
      #expect(tree.skipped.isEmpty)
      let born = try await target.bear()
      #expect(try tree.grow().isEmpty)
      for found in [tree, try ProcessTree(root: target.tree)] {
        #expect(found.processes.contains { $0.pid == target.owner && $0.namespacePid == 1 })
        #expect(!found.processes.contains { $0.pid == born }, "it was there later")
        #expect(found.skipped.map(\.pid) == [born])
        #expect(found.skipped.first?.reason.contains("process \(target.owner)") == true)
      }
      let known = try ProcessTree(root: target.tree, known: [TargetProcess(pid: born).identity])
      #expect(known.processes.contains { $0.pid == born })
      #expect(known.skipped.map(\.pid) == [target.owner])
    }
  }

  /// In a process of its own, whose every comparison fails.
  @Test func saysOfWhichTheKernelDoesNotTell() async throws {
    try await RelationTarget.run(.sibling) { target in
      let pids = [target.tree, target.owner, target.other]
      await #expect(processExitsWith: .success) { [pids = pids as [Int32]] in
        unsafe sluice_set_fault_handler { site, _ in site == SLUICE_FAULT_COMPARE_MEMORY ? ENOSYS : 0 }
        var tree = try ProcessTree(root: pids[0])
        try tree.lookOutside()
        guard tree.processes.map(\.pid) == pids, tree.unclear == [pids[1]: pids[0], pids[2]: pids[0]],
          tree.outsiders.isEmpty
        else { fatalError("\(tree.unclear) \(tree.outsiders)") }
      }
    }
    try await RelationTarget.run(.outside) { target in
      let pids = [target.owner, target.other]
      await #expect(processExitsWith: .success) { [pids = pids as [Int32]] in
        unsafe sluice_set_fault_handler { site, _ in site == SLUICE_FAULT_COMPARE_MEMORY ? ENOSYS : 0 }
        var tree = try ProcessTree(root: pids[0])
        try tree.lookOutside()
        let expected = Outsider(pid: pids[1], owner: pids[0], isCertain: false)
        guard tree.outsiders.contains(expected) else { fatalError("\(tree.outsiders)") }
      }
    }
  }
}
