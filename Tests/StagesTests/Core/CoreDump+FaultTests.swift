import CSluiceLinux
import Foundation
import Sluice
import SluicePipeline
import SluiceTestSupport
import Testing

extension StagesTests {
  /// System calls that fail while a core is made, and SIGKILL at any of them: the process goes on in any case, and there is no
  /// file by the name of the core but a whole one.
  @Suite("Faults while a core is made")
  struct FaultyCoreTests {
    @Test func leaveTheProcessRunningAndNoFile() async throws {
      try await MemoryTarget.run(["--size", "1M", "--write-rate", "100", "--sleepers", "2"]) { target in
        try await withTemporaryDirectory { directory in
          let report = "\(directory)/report"
          await #expect(processExitsWith: .success) {
            [pid = target.pid as Int32, directory = directory as String, report = report as String] in
            await OwnProcess.report(to: report) { watchdog in
              try await FaultyCores(pid: pid, directory: directory, watchdog: watchdog).run()
            }
          }
          let text = OwnProcess.reported(at: report)
          print("faults in cores: \(text)")
          if !text.contains(" runs: ") { Issue.record("\(text)") }
          try await target.check()
        }
      }
    }

    @Test func killedAtAnyCallLeavesTheProcessRunningAndNoFile() async throws {
      try await MemoryTarget.run(["--size", "1M", "--write-rate", "100", "--sleepers", "2"]) { target in
        try await withTemporaryDirectory { directory in
          for site in Faults.Site.allCases {
            for call in site == .trace ? Array(stride(from: 0, to: 30, by: 3)) : [0, 3] {
              try await expectNoHarm(target, at: site, call: call, in: directory)
            }
          }
          try await target.check()
        }
      }
    }

    private func expectNoHarm(
      _ target: MemoryTarget, at site: Faults.Site, call: Int, in directory: String
    ) async throws {
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [number = site.rawValue as UInt32, call, pid = target.pid as Int32, directory = directory as String]
        in
        guard let site = Faults.Site(rawValue: number) else { return }
        Faults.start(.none, Interruption(site: site, call: call) { kill(getpid(), SIGKILL) })
        try? await FaultyCores.make(of: pid, at: "\(directory)/core")
        try? FileManager.default.removeItem(atPath: "\(directory)/core")
        kill(getpid(), SIGKILL)
      }
      try await eventually("nobody holds it after a kill at \(site) call \(call)") {
        try StoppingRounds.leavesRunning(target.pid)
      }
      // Where the filesystem has files without a name, nothing at all is left but a core that is whole.
      let left = (names(in: directory) ?? []).filter { $0.contains("core") }
      guard !left.isEmpty else { return }
      #expect(left == ["core"], "\(site) call \(call)")
      let stacks = try await Command(installed: "eu-stack", ["--core", "\(directory)/core"]).run()
      #expect(stacks.output.contains("TID \(target.pid)"), "\(site) call \(call): \(stacks.errors)")
      try FileManager.default.removeItem(atPath: "\(directory)/core")
    }
  }
}

/// Cores, in which each call in turn fails; the first thing that is not as it must be ends it.
///
/// For a process of its own: it makes system calls of the whole process fail.
private struct FaultyCores {
  let pid: Int32
  let directory: String
  let watchdog: Watchdog

  static func make(of pid: Int32, at path: String) async throws {
    var configuration = CoreDump.Configuration(pid: pid, path: path)
    configuration.policy.rounds = 2
    (configuration.policy.untilPages, configuration.policy.untilSkippedPercent) = (0, 101)
    configuration.copying.memoryBudget = 4 << 20
    _ = try await CoreDump(configuration).run()
  }

  /// - Returns: what came of it.
  func run() async throws -> String {
    Faults.start(.none)
    try await Self.make(of: pid, at: "\(directory)/counted")
    let calls = Faults.stop().calls
    var (succeeded, failed) = (0, 0)
    for site in Faults.Site.allCases {
      let count = calls[Int(site.rawValue)]
      for call in 0..<count where call < 4 || call % 23 == 0 || call == count - 1 {
        for errno in site.lastingErrors.prefix(1) {
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

  private func succeeds(_ strike: Faults.Strike) async throws -> Bool {
    let core = "\(directory)/core"
    defer { try? FileManager.default.removeItem(atPath: core) }
    watchdog.watch("\(strike)")
    Faults.start(strike.site == .trace ? .from(strike) : .one(strike))
    let result: Result<Void, any Error>
    do { result = .success(try await Self.make(of: pid, at: core)) } catch { result = .failure(error) }
    let record = Faults.stop()
    watchdog.watch(nil)
    try await eventually("the process runs after \(strike)") { try StoppingRounds.leavesRunning(pid) }
    switch result {
    case .success:
      guard FileManager.default.fileExists(atPath: core) else {
        throw TestFailure("\(strike): it succeeded, and there is no core")
      }
      return true
    case .failure(let error as SluiceError):
      guard !record.strikes.isEmpty, error.errno == nil || error.errno?.code == strike.errno else {
        throw TestFailure("\(strike): another error: \(error)")
      }
      guard !FileManager.default.fileExists(atPath: core) else {
        throw TestFailure("\(strike): it failed, and there is a core")
      }
      return false
    case .failure(let error): throw TestFailure("\(strike): \(error)")
    }
  }
}
