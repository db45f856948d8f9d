import Testing

@testable import sluice

@Suite struct LineWrapTests {
  @Test func `lines that fit stay as they are`() {
    #expect(LineWrap.wrap("a\n  b\n\nc", width: 20) == "a\n  b\n\nc")
    let fitting = String(repeating: "x", count: 20)
    #expect(LineWrap.wrap(fitting, width: 20) == fitting)
  }

  @Test func `lines are broken between words, and go on further to the right`() {
    #expect(
      LineWrap.wrap("one two three four five six", width: 20) == "one two three four\n  five six")
    #expect(
      LineWrap.wrap("  one two three four five six", width: 20) == "  one two three four\n    five six")
    #expect(
      LineWrap.wrap("name  yes  one two three four", width: 20, hanging: 6)
        == "name  yes  one two\n      three four")
  }

  @Test func `a word that is wider than the terminal stays whole`() {
    let path = "/" + String(repeating: "x", count: 40)
    #expect(LineWrap.wrap("see \(path) there", width: 20) == "see\n  \(path)\n  there")
    #expect(LineWrap.wrap(path, width: 20) == path)
  }

  @Test(arguments: 20...90) func `no line is wider, and no word is lost`(width: Int) {
    let text = (1...60).map { String(repeating: "w", count: $0 % 9 + 1) }.joined(separator: " ")
    let wrapped = LineWrap.wrap(text, width: width)
    #expect(wrapped.split(separator: "\n").allSatisfy { $0.count <= width })
    #expect(wrapped.split(whereSeparator: \.isWhitespace) == text.split(separator: " "))
  }
}
