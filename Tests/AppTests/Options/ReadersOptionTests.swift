import Testing

@testable import sluice

@Suite struct ReadersOptionTests {
  @Test(arguments: [
    ("1", ReadersOption.each(1)), ("0", .each(0)), ("12", .each(12)), ("0=2", .onNodes([0: 2])),
    ("0=2,1=4", .onNodes([0: 2, 1: 4])), ("8=0,3=1", .onNodes([3: 1, 8: 0])),
  ])
  func `takes a number, or numbers by nodes`(text: String, option: ReadersOption) {
    #expect(ReadersOption(argument: text) == option)
  }

  @Test(arguments: ["", "a", "1,2", "0=", "=1", "0=1,", "0=1,0=2", "0=-1", "-1=1", "0=1=2", "0 = 1"])
  func `takes nothing else`(text: String) {
    #expect(ReadersOption(argument: text) == nil)
  }

  @Test func `is written as it is read`() {
    #expect(ReadersOption.each(3).defaultValueDescription == "3")
    #expect(ReadersOption.onNodes([1: 4, 0: 2]).defaultValueDescription == "0=2,1=4")
    #expect(ReadersOption.onNodes([1: 4, 0: 2]).total == 6)
    #expect(ReadersOption.onNodes([1: .max, 0: 2]).total == .max)
  }
}
