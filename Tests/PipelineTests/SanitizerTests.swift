import Foundation
import Testing

@testable import SluicePipeline

/// Controls for `make sanitize`: what the sanitizers are to notice is noticed. Otherwise that nothing was found
/// would mean nothing.
@Suite struct SanitizerTests {
  private static let sanitizer = ProcessInfo.processInfo.environment["SLUICE_SANITIZER"]
  /// What scripts/sanitize has a process exit with in which something was found.
  private static let foundSomething: Int32 = 66

  @Test(.enabled(if: sanitizer == "thread", "for make sanitize"))
  func `two threads that change a value without a lock are noticed`() async {
    await #expect(processExitsWith: .exitCode(Self.foundSomething)) {
      // Reserved for these two, so not handed out or given back by anything that orders them.
      nonisolated(unsafe) let value = UnsafeMutablePointer<Int>.allocate(capacity: 1)
      unsafe value.initialize(to: 0)
      let threads = (0..<2).map { NamedThread(name: "racing-\($0)") }
      for thread in threads { thread.begin { for _ in 0..<1000 { unsafe value.pointee += 1 } } }
      for thread in threads { thread.join() }
      unsafe value.deallocate()
    }
  }

  @Test(.enabled(if: sanitizer == "address", "for make sanitize"))
  func `a write behind the end of an allocation is noticed`() async {
    await #expect(processExitsWith: .exitCode(Self.foundSomething)) {
      let values = UnsafeMutablePointer<UInt64>.allocate(capacity: 4)
      unsafe values.initialize(repeating: 0, count: 4)
      // The compiler does not see which one it is.
      let end = ProcessInfo.processInfo.arguments.isEmpty ? 0 : 4
      unsafe values[end] = 1
      unsafe values.deallocate()
    }
  }
}
