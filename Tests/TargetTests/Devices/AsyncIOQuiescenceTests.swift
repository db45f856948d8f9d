import Testing

@testable import SluiceTarget

@Suite("Device writes")
struct AsyncIOQuiescenceTests {
  @Test func completionsAreReadFromWhatTheKernelWrites() {
    let text =
      "pos:\t0\nflags:\t02000002\nSqMask:\t0x7\nCachedSqHead:\t25\nCqTail:\t3\nCachedCqTail:\t4294967295\nSQEs:\t0\n"
    #expect(AsyncIOQuiescence.completions(in: text) == .max)
    // One that is busy tells nothing.
    #expect(AsyncIOQuiescence.completions(in: "pos:\t0\nflags:\t02000002\n") == 0)
  }
}
