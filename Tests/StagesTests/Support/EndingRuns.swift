import Foundation
import Sluice
import SluiceTestSupport

/// Pre-dumps of processes that end, in one way or another, before each system call in turn.
///
/// For a process of its own: the moment is a system call of the whole process.
struct EndingRuns {
  /// The ways, by their place in `Race.ofProcess`.
  static let ways = Array(Race.ofProcess.indices)

  private struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  private struct Run: CustomStringConvertible {
    let way: Race
    let pageStates: PreDump.Configuration.PageStates
    let site: Faults.Site
    let call: Int

    var description: String { "\(way.name) before \(site) call \(call), \(pageStates)" }
  }

  /// Runs them all, writes what came of it to a file, and ends this process if that is not good.
  static func run(way: Int, reportingTo path: String) async {
    await OwnProcess.report(to: path) { watchdog in
      var (unnoticed, count) = (0, 0)
      for pageStates in RacingRuns.pageStatesOfThisKernel {
        let calls = try await callsOfARun(pageStates)
        for site in Faults.Site.allCases {
          let number = calls[Int(site.rawValue)]
          for call in Set([0, 1, 2, number / 2, number - 1]).sorted() where (0..<number).contains(call) {
            let run = Run(way: Race.ofProcess[way], pageStates: pageStates, site: site, call: call)
            watchdog.watch("\(run)")
            if try await !execute(run) { unnoticed += 1 }
            watchdog.watch(nil)
            count += 1
          }
        }
      }
      return "\(count) runs as they must be, \(count - unnoticed) of them failed"
    }
  }

  private static func callsOfARun(_ pageStates: PreDump.Configuration.PageStates) async throws -> [Int] {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { process in
        try process.waitUntilIdle()
        Faults.start(.none)
        _ = await preDump(process.pid, "\(directory)/images", pageStates).result()
        return Faults.stop().calls
      }
    }
  }

  private static func preDump(
    _ pid: Int32, _ images: String, _ pageStates: PreDump.Configuration.PageStates
  ) -> PreDump {
    var configuration = PreDump.Configuration(pid: pid, imagesDirectory: images)
    configuration.pageStates = pageStates
    return PreDump(configuration)
  }

  /// - Returns: whether the copy failed.
  private static func execute(_ run: Run) async throws -> Bool {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { process in
        try process.waitUntilIdle()
        let images = "\(directory)/images"
        let target = Race.Target(process: process, helper: process, start: 0, directory: directory)
        let happened = Happened()
        let interruption = Interruption(site: run.site, call: run.call) {
          happened.note { try run.way.change(target) }
        }
        Faults.start(.none, interruption)
        let result = await preDump(process.pid, images, run.pageStates).result()
        let record = Faults.stop()
        // Threads do not do the same twice: a run may need fewer calls than the one before.
        guard record.interrupted != nil else { return false }
        try happened.check()
        switch result {
        case .success:
          guard mayPassUnnoticed(run.way, record), looksFinished(images) else {
            throw Violation(description: "\(run): it passed unnoticed")
          }
        case .failure(let error):
          guard [.targetGone, .notFound].contains(error.code), names(in: images) == nil else {
            throw Violation(description: "\(run): \(error.code): \(error); left: \(names(in: images) ?? [])")
          }
        }
        return (try? result.get()) == nil
      }
    }
  }

  /// What comes before the first look at the process was always so; what comes after the last read of its memory, and
  /// the last look whether that is still the same, is of no matter to the images.
  private static func mayPassUnnoticed(_ way: Race, _ record: Faults.Record) -> Bool {
    guard let interrupted = record.interrupted else { return true }
    let lastRead = record.order.lastIndex(of: .processRead) ?? 0
    let lastLook = way.leavesMemory ? 0 : record.order.lastIndex(of: .pread) ?? 0
    let opening = record.order.firstIndex(of: .pidfdOpen) ?? 0
    let firstLook = record.order[opening...].firstIndex(of: .read) ?? 0
    return interrupted > max(lastRead, lastLook) || interrupted <= firstLook + 1
  }
}
