import Testing

@testable import sluice

@Suite struct SpellingTests {
  private static let commands = ["pre-dump", "show", "verify", "flatten", "dedup", "page-server", "check"]

  @Test(arguments: [
    ("predump", "pre-dump"), ("pre_dump", "pre-dump"), ("Pre-Dump", "pre-dump"), ("pre-dmup", "pre-dump"),
    ("hsow", "show"), ("verfiy", "verify"), ("flaten", "flatten"), ("pageserver", "page-server"),
    ("chekc", "check"),
  ])
  func `what is written like a word was meant for it`(given: String, meant: String) {
    #expect(Spelling.nearest(to: given, among: Self.commands) == meant)
  }

  @Test(arguments: ["", "-", "nonsense", "restore", "x", "ls"])
  func `what is like no word is none`(given: String) {
    #expect(Spelling.nearest(to: given, among: Self.commands) == nil)
  }

  @Test func `two letters that were swapped are one mistake`() {
    #expect(Spelling.distance(Array("ab"), Array("ba")) == 1)
    #expect(Spelling.distance(Array("kitten"), Array("sitting")) == 3)
    #expect(Spelling.distance([], Array("abc")) == 3)
    #expect(Spelling.distance(Array("abc"), []) == 3)
  }
}
