import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Call site")
struct SyscallInstructionTests {
  @Test(
    arguments: [
      ([0x0f, 0x05], [0x90, 0x0f, 0x05, 0xc3], 1), ([0x0f, 0x05], [0x0f, 0x0f, 0x05], 1),
      ([0x0f, 0x05], [0x0f], nil), ([0x0f, 0x05], [], nil),
      // Instructions of four bytes begin at every fourth.
      ([0x01, 0x00, 0x00, 0xd4], [0, 0, 0x01, 0x00, 0x00, 0xd4, 0, 0], nil),
      ([0x01, 0x00, 0x00, 0xd4], [0, 0, 0x01, 0x00, 0x00, 0xd4, 0, 0, 0x01, 0x00, 0x00, 0xd4], 8),
    ] as [([UInt8], [UInt8], Int?)])
  func isWhereTheInstructionIs(instruction: [UInt8], bytes: [UInt8], expected: Int?) {
    #expect(SyscallInstruction.offset(of: instruction, in: bytes) == expected)
  }
}
