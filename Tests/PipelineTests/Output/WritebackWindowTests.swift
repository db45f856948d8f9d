import SluiceTestSupport
import Testing

@testable import SluicePipeline

@Suite struct WritebackWindowTests {
  private static let step: UInt64 = 8 << 20

  @Test func `nothing is done before there is a step`() {
    var window = WritebackWindow()
    #expect(window.advance(to: 0) == WritebackWindow.Action())
    #expect(window.advance(to: Self.step - 1) == WritebackWindow.Action())
    #expect(window.rest(to: Self.step - 1) == 0..<Self.step - 1)
  }

  @Test func `a step is sent, and waited for with the next`() {
    var window = WritebackWindow()
    var action = window.advance(to: Self.step)
    #expect(action.start == 0..<Self.step)
    #expect(action.finish == nil)
    action = window.advance(to: 2 * Self.step + 5)
    #expect(action.start == Self.step..<2 * Self.step + 5)
    #expect(action.finish == 0..<Self.step)
    #expect(window.rest(to: 3 * Self.step) == Self.step..<3 * Self.step)
  }

  /// Whatever the steps: each byte is sent once and waited for once, and the cache never holds much.
  @Test(arguments: 0..<10) func `every byte is sent once and waited for once`(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var window = WritebackWindow()
    var (written, sent, dropped): (UInt64, UInt64, UInt64) = (0, 0, 0)
    for _ in 0..<2000 {
      let most = Bool.random(using: &random) ? 1 << 20 : 3 * Self.step
      let before = written
      written += UInt64.random(in: 0...most, using: &random)
      let action = window.advance(to: written)
      if let range = action.start {
        #expect(range.lowerBound == sent && range.upperBound == written)
        sent = range.upperBound
      }
      if let range = action.finish {
        #expect(range.lowerBound == dropped && range.upperBound <= before)
        dropped = range.upperBound
      }
      #expect(written - sent < Self.step, "what was written is sent soon")
    }
    #expect(window.rest(to: written) == dropped..<written)
  }

  @Test func `a file that is shorter than was sent has no rest`() {
    var window = WritebackWindow()
    _ = window.advance(to: Self.step)
    _ = window.advance(to: 2 * Self.step)
    #expect(window.rest(to: 100).isEmpty)
  }
}
