import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Soft-dirty", .timeLimit(.minutes(15)))
struct SoftDirtyTests {
  /// The other process clears its bits in earnest and writes; the code under test never clears its own.
  @Test func agreesWithAProcessThatTriesItInEarnest() async throws {
    try await MappingTarget.run { target in
      let works = try await target.tell("soft-dirty") == 1
      #expect(try SoftDirty.isSupported() == works)
    }
  }

  @Test func clearsAndDoesNoHarm() async throws {
    try await MemoryTarget.run(["--size", "16M", "--write-rate", "10000"]) { target in
      let process = try TargetProcess(pid: target.pid)
      for _ in 0..<10 { _ = try SoftDirty.clear(process) }
      try await target.check()
    }
  }

  @Test func clearsTheBits() async throws {
    try await MappingTarget.run { target in
      let page = ProcessMemory.pageSize
      let start = try await target.map(pages: 4)
      let process = try TargetProcess(pid: target.pid)
      _ = try SoftDirty.clear(process)
      try await target.tell("fill \(hexadecimal(start + page)) 1")
      let entries = try ProcessMemory.pagemapEntries(of: target.pid, from: start, to: start + 4 * page)
      let dirty = entries.map { $0 >> 55 & 1 == 1 }
      let works = try SoftDirty.isSupported()
      #expect(dirty == [false, works, false, false])
    }
  }

  @Test func saysThatTheProcessIsGone() async throws {
    try await MappingTarget.run { target in
      let process = try TargetProcess(pid: target.pid)
      try await target.exit()
      let error = #expect(throws: TargetError.self) { _ = try SoftDirty.clear(process) }
      #expect(error?.code == .gone)
    }
  }
}

@Suite("Uptime", .timeLimit(.minutes(15)))
struct UptimeTests {
  private func seconds() throws -> Double {
    let text = try String(contentsOfFile: "/proc/uptime", encoding: .utf8)
    return try #require(text.split(separator: " ").first.flatMap { Double($0) })
  }

  @Test func isTheKernelsOwn() throws {
    let before = try seconds()
    let microseconds = Uptime.microseconds()
    let after = try seconds()
    #expect(microseconds % 10_000 == 0)
    #expect(((before * 100).rounded()...(after * 100).rounded()).contains(Double(microseconds / 10_000)))
  }

  @Test(arguments: [
    ("monotonic           0         0\nboottime            0         0\n", 0),
    ("monotonic           5         0\nboottime       100000 500000000\n", 10_000_050),
    ("monotonic           0         0\nboottime           -3         0\n", -300), ("", 0),
    ("boottime x y\n", 0),
  ])
  func knowsTheOffsetOfATimeNamespace(text: String, ticks: Int64) {
    #expect(Uptime.ticks(inOffsets: text, ticksPerSecond: 100) == ticks)
  }
}
