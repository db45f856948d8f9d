import CSluiceLinux
import Foundation
import Sluice
import SluicePipeline
import SluiceTestSupport
import Testing

extension StagesTests {
  /// System calls that fail while a last round has the process stopped, before that and after it: the process goes on
  /// in any case, and what failed is told.
  @Suite("Faults in a round that stops the process")
  struct FaultyLastRoundTests {
    @Test func leaveTheProcessRunningAndAreReported() async throws {
      try await MemoryTarget.run(["--size", "1M", "--write-rate", "100", "--sleepers", "2"]) { target in
        try await withTemporaryDirectory { directory in
          let report = "\(directory)/report"
          await #expect(processExitsWith: .success) {
            [pid = target.pid as Int32, directory = directory as String, report = report as String] in
            await OwnProcess.report(to: report) { watchdog in
              try await FaultyLastRounds(pid: pid, directory: directory, watchdog: watchdog).run()
            }
          }
          let text = OwnProcess.reported(at: report)
          print("faults in last rounds: \(text)")
          if !text.contains(" runs: ") { Issue.record("\(text)") }
          try await target.check()
        }
      }
    }
  }
}

/// Such rounds, in which each call in turn fails; the first thing that is not as it must be ends it.
///
/// For a process of its own: it makes system calls of the whole process fail.
private struct FaultyLastRounds {
  let pid: Int32
  let directory: String
  let watchdog: Watchdog

  /// - Returns: what came of it.
  func run() async throws -> String {
    Faults.start(.none)
    try await StoppingRounds.run(pid, in: "\(directory)/counted")
    let calls = Faults.stop().calls
    var (succeeded, failed) = (0, 0)
    for site in Faults.Site.allCases {
      let count = calls[Int(site.rawValue)]
      // The first calls of a site are the most different; of the many that follow, some.
      for call in 0..<count where call < 6 || call % 17 == 0 || call >= count - 2 || site == .trace {
        for errno in site.lastingErrors.prefix(2) {
          if try await succeeds(Faults.Strike(site: site, call: call, errno: errno)) {
            succeeded += 1
          } else {
            failed += 1
          }
        }
      }
    }
    return "\(succeeded + failed) runs: \(succeeded) succeeded, \(failed) failed"
  }

  /// Runs the rounds with one failure.
  ///
  /// - Returns: whether they came to their end all the same.
  private func succeeds(_ strike: Faults.Strike) async throws -> Bool {
    let images = "\(directory)/images"
    defer { try? FileManager.default.removeItem(atPath: images) }
    let warnings = Locked([String]())
    watchdog.watch("\(strike)")
    // A thread that may not be traced is tried again, for it may just have ended.
    Faults.start(strike.site == .trace ? .from(strike) : .one(strike))
    let result: Result<Void, any Error>
    do { result = .success(try await StoppingRounds.run(pid, in: images, warnings: warnings)) } catch {
      result = .failure(error)
    }
    let record = Faults.stop()
    let wasStruck = !record.strikes.isEmpty
    watchdog.watch(nil)
    try await eventually("the process runs after \(strike)") { try StoppingRounds.leavesRunning(pid) }
    switch result {
    case .success:
      let isTold = !warnings.withLock(\.isEmpty)
      // Threads do not do the same twice: it may not have come to that call.
      guard !wasStruck || record.hasAnotherWay(than: strike) || isTold else {
        throw TestFailure("\(strike) was passed over")
      }
      guard looksFinished("\(images)/2") else {
        throw TestFailure("\(strike): it succeeded, and has no images")
      }
      return true
    case .failure(let error as SluiceError):
      guard wasStruck, error.errno == nil || error.errno?.code == strike.errno else {
        throw TestFailure("\(strike): another error: \(error)")
      }
      guard !looksFinished("\(images)/2") else {
        throw TestFailure("\(strike): it failed, and looks finished")
      }
      return false
    case .failure(let error): throw TestFailure("\(strike): \(error)")
    }
  }
}
