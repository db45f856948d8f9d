import Testing

@testable import SluiceTarget

@Suite("Status lines")
struct StatusLinesTests {
  private let lines = StatusLines(
    "Name:\ta b\nState:\tD (disk sleep)\nTgid:\t4711\nTracerPid:\t12 x\nNSpid:\t4711\t32\t1\nGroups:\t \n"
      + "VmPin:\t      12 kB\nVmSwap:\tmuch kB\nRssAnon:\t3\nCapEff:\t0000000000280000\nSigCgt:\tnonsense\nlast:\t5"
  )

  @Test func haveWordsBehindAKey() {
    #expect(lines.words("Name") == ["a", "b"])
    #expect(lines.words("Groups") == [])
    #expect(lines.words("last") == ["5"])
    for key in ["Nam", "ame", "Name:", "", "VmSize"] { #expect(lines.words(key) == nil, "\(key)") }
    #expect(StatusLines("").words("Name") == nil)
    #expect(StatusLines("Name\t4").words("Name") == nil)
  }

  @Test func haveNumbers() {
    #expect(lines.number("Tgid") == 4711)
    for key in ["TracerPid", "NSpid", "Name", "Groups", "VmSize"] {
      #expect(lines.number(key) == nil, "\(key)")
    }
    #expect(lines.namespacePids == [4711, 32, 1])
    #expect(StatusLines("Tgid:\t1\n").namespacePids == [])
  }

  @Test func haveBits() {
    #expect(lines.bits("CapEff") == 0x28_0000)
    for key in ["SigCgt", "NSpid", "CapPrm"] { #expect(lines.bits(key) == nil, "\(key)") }
  }

  @Test func haveBytes() {
    #expect(lines.bytes("VmPin") == 12 << 10)
    for key in ["VmSwap", "RssAnon", "VmSize"] { #expect(lines.bytes(key) == 0, "\(key)") }
  }

  @Test func haveAState() {
    #expect(lines.state == "D")
    #expect(StatusLines("State:\t\n").state == nil)
    #expect(StatusLines("Name:\tx\n").state == nil)
  }
}
