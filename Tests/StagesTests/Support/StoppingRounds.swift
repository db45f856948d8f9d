import Foundation
import Logging
import SluicePipeline
import SluiceTestSupport

@testable import Sluice

/// A round that copies, and a last one that stops the process by ptrace for what is left.
enum StoppingRounds {
  /// - Parameter warnings: takes what is warned of.
  static func run(_ pid: Int32, in directory: String, warnings: Locked<[String]>? = nil) async throws {
    var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
    configuration.tracker = .content
    if let warnings { configuration.logger = Logger(label: "test") { _ in Warnings(kept: warnings) } }
    var policy = RoundPolicy()
    (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (2, 0, 100.5)
    var rounds = try RoundSequence(configuration, policy: policy, lastRound: .resumes)
    while let round = try await rounds.next() { rounds.ended(try await round.run()) }
  }

  /// Whether nobody traces the process, and none of its threads is stopped.
  static func leavesRunning(_ pid: Int32) throws -> Bool {
    guard ProcessMemory.status("TracerPid", of: pid) == 0 else { return false }
    return try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").allSatisfy { thread in
      let stat = try String(contentsOfFile: "/proc/\(pid)/task/\(thread)/stat", encoding: .utf8)
      return stat.split(separator: ")").last.map { !$0.hasPrefix(" t") && !$0.hasPrefix(" T") } ?? false
    }
  }
}
