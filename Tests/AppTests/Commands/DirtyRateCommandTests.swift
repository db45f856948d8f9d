import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

/// With soft-dirty bits it is tried in the guest of Tests/Interop, whose kernels keep them.
@Suite("sluice dirty-rate", .timeLimit(.minutes(15)))
struct DirtyRateCommandTests {
  private static let canProtect = Kernel.isAtLeast(6, 7)

  private func measure(_ pid: Int32, seconds: String) async throws -> [String: Any] {
    let result = try await SluiceCommandLine.run([
      "dirty-rate", "-t", "\(pid)", "--seconds", seconds, "--json",
    ])
    try #require(result.end == .exited(0), "\(result.errors)")
    return try jsonObject(result.output)
  }

  private func pages(_ windows: Any?) throws -> [Int] {
    try #require(windows as? [[String: Any]]).compactMap { $0["pages"] as? Int }
  }

  /// All of an area is written all the time: that is what is found, there, and no more.
  @Test(.enabled(if: canProtect)) func findsWhatIsWrittenAndWhere() async throws {
    try await MemoryTarget.run(["--size", "4M", "--write-rate", "max", "--vmas", "100", "--huge-pages", "no"])
    { target in
      let figures = try await measure(target.pid, seconds: "1")
      #expect(figures["tracker"] as? String == "write-protect")
      #expect(figures["processes"] as? Int == 1)
      let windows = try pages(figures["windows"])
      #expect(windows.count == 3)
      let mappings = try #require(figures["mappings"] as? [[String: Any]])
      let most = try #require(mappings.first)
      // Of the thousand pages of the area, as many as it comes to on a busy machine.
      #expect(try #require(most["pages"] as? Int) > 100, "\(most)")
      // The kernel may show the area as more than one mapping.
      let listed = mappings.compactMap { $0["pages"] as? Int }.reduce(0, +)
      #expect(windows.last == listed, "\(windows) \(mappings)")
      // What it does not write is not there: its hundred mappings of a page.
      #expect(mappings.count < 50, "\(mappings)")
      let forecast = try #require(figures["forecast"] as? [String: Any])
      #expect(try pages(forecast["rounds"])[0] == figures["total_pages"] as? Int)
      try await target.check()
    }
  }

  /// The forecast takes a longer window to have no fewer pages than a shorter one; what is told as measured does not.
  @Test(.enabled(if: canProtect)) func aWindowCountsNothingOfTheOneBefore() async throws {
    try await MemoryTarget.run(["--size", "4M", "--write-rate", "max", "--huge-pages", "no"]) { target in
      async let ended = SluiceCommandLine.run([
        "dirty-rate", "-t", "\(target.pid)", "--seconds", "2", "--json",
      ])
      // The last of the three windows is more than half of the time.
      try await Task.sleep(for: .milliseconds(700))
      try await target.program.stop()
      let result = try await ended
      target.program.resume()
      try #require(result.end == .exited(0), "\(result.errors)")
      let figures = try jsonObject(result.output)
      let mappings = try #require(figures["mappings"] as? [[String: Any]])
      #expect(
        try pages(figures["windows"]).last == mappings.compactMap { $0["pages"] as? Int }.reduce(0, +),
        "\(figures)")
      try await target.check()
    }
  }

  @Test(.enabled(if: canProtect)) func aStoppedProcessWritesNothing() async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await target.program.stop()
      let figures = try await measure(target.pid, seconds: "0.3")
      #expect(try pages(figures["windows"]).allSatisfy { $0 == 0 }, "\(figures)")
      #expect(figures["pages_per_second"] as? Double == 0)
      let text = try await SluiceCommandLine.run(["dirty-rate", "-t", "\(target.pid)", "--seconds", "0.1"])
      #expect(text.end == .exited(0), "\(text.errors)")
      #expect(text.output.contains("left for the final dump: 0 pages (0 B)"), "\(text.output)")
      #expect(text.output.contains("in all, the process stopped for about "), "\(text.output)")
      target.program.resume()
      try await target.check()
    }
  }

  @Test func saysWhatTheKernelLacks() async throws {
    let hasSoftDirty = try await SluiceCommandLine.run(["check", "--json"]).output
    guard hasSoftDirty.contains("CONFIG_MEM_SOFT_DIRTY") else { return }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      expectFailure(
        try await SluiceCommandLine.run([
          "dirty-rate", "-t", "\(target.pid)", "--seconds", "0.1", "--clear-soft-dirty",
        ]), code: 71, saying: "CONFIG_MEM_SOFT_DIRTY", "\(target.pid)")
      try await target.check()
    }
  }

  @Test(arguments: [
    (["--seconds", "0"], "--seconds"), (["--seconds", "86401"], "--seconds"),
    (["--seconds", "nan"], "--seconds"),
    (["--copy-rate", "0"], "--copy-rate"), (["--rounds", "0"], "--rounds"),
  ])
  func refusesWhatCannotBeMeant(options: [String], word: String) async throws {
    expectFailure(
      try await SluiceCommandLine.run(["dirty-rate", "-t", "1"] + options), code: 64,
      saying: word)
  }

  @Test func refusesWhatIsNoProcess() async throws {
    expectFailure(
      try await SluiceCommandLine.run(["dirty-rate", "-t", "4000000"]), code: 66,
      saying: "there is no process 4000000")
  }
}
