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
      let born = try Outsider.find(besides: [owner], refused: [], sharing: [owner])
      #expect(born == [])
      let found = try Outsider.find(besides: [owner], refused: [target.other], sharing: [owner])
      #expect(found.map(\.pid) == [target.other], "one that cannot be held goes on writing")
    }
  }

  @Test func areThoseBesideTheTree() async throws {
    try await RelationTarget.run(.outside) { target in
      let owner = try TargetProcess(pid: target.owner)
      let found = try Outsider.find(besides: [owner], refused: [], sharing: [owner])
      #expect(found.map(\.pid) == [target.other])
      #expect(found.map(\.isCertain) == [true])
    }
  }
}
