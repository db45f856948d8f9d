import Testing

@testable import SluiceTarget

@Suite("First user", .timeLimit(.minutes(15)))
struct NamespaceRootTests {
  private let groups = "         0       7000          1\n"

  @Test(arguments: [
    ("         0     100000      65536\n", 100_000), ("0 5 1", 5), ("1 100001 9\n0 31 1\n", 31),
    // The same numbers as outside.
    ("         0          0 4294967295\n", 0),
  ])
  func findsWhoItIsOutside(users: String, number: UInt32) throws {
    let first = try #require(NamespaceRoot(users: users, groups: groups))
    #expect(first == NamespaceRoot(users: users, groups: "0 7000 4"))
    #expect(first.user == number)
    #expect(first.group == 7000)
  }

  @Test(arguments: [
    "", "\n", "1 100000 65536\n", "0 100000 0\n", "0 4294967295 1\n", "0 100000\n", "x y z\n",
  ])
  func knowsWhereThereIsNone(map: String) {
    #expect(NamespaceRoot(users: map, groups: groups) == nil)
    #expect(NamespaceRoot(users: groups, groups: map) == nil)
  }
}
