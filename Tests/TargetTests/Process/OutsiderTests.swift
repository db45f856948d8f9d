import Glibc
import SluiceTestSupport
import Testing

@testable import SluiceTarget

/// The processes outside of a tree that share memory with one in it. Those of whole trees are found by
/// `findsOthersThatShareWithOneOfThese`.
@Suite("Outsiders", .timeLimit(.minutes(15)))
struct OutsiderTests {
  /// The tree is listed, and only then those who share memory with it are looked for.
  @Test func areNoneThatAreBornBelowTheTreeMeanwhile() async throws {
    try await RelationTarget.run(.child) { target in
      let owner = try TargetProcess(pid: target.owner)
      var known: Set<Int32> = []
      let born = try Outsider.find(besides: [owner], refused: [], sharing: [owner], except: &known)
      #expect(born == [])
      let found = try Outsider.find(
        besides: [owner], refused: [target.other], sharing: [owner], except: &known)
      #expect(found.map(\.pid) == [target.other], "one that cannot be held goes on writing")
    }
  }

  @Test func areThoseBesideTheTree() async throws {
    try await RelationTarget.run(.outside) { target in
      let owner = try TargetProcess(pid: target.owner)
      var known: Set<Int32> = []
      let found = try Outsider.find(besides: [owner], refused: [], sharing: [owner], except: &known)
      #expect(found.map(\.pid) == [target.other])
      #expect(found.map(\.isCertain) == [true])
      // Of those that have a memory of their own, none is looked at once more; of those that share one, all are.
      #expect(known.contains(getpid()) && !known.contains(target.other))
      let again = try Outsider.find(besides: [owner], refused: [], sharing: [owner], except: &known)
      #expect(again == found)
      known = [target.other]
      let none = try Outsider.find(besides: [owner], refused: [], sharing: [owner], except: &known)
      #expect(none == [])
    }
  }
}
