import CSluiceLinux
import Foundation
import Sluice
import SluiceTestSupport

/// Pre-dumps of processes that do something just when it hurts.
///
/// For a process of its own: the moment is a system call of the whole process.
struct RacingRuns {
  /// When it happens.
  enum Moment: String, CaseIterable, Codable, Sendable {
    /// The mappings were listed, and the page table is about to be looked at.
    case beforeScan
    /// The pages were found, and are about to be read.
    case beforeRead

    func interruption(
      _ pageStates: PreDump.Configuration.PageStates, _ action: @escaping @Sendable () -> Void
    ) -> Interruption {
      switch self {
      // What is read by pread first is the list of mappings.
      case .beforeScan:
        Interruption(
          site: pageStates == .pagemap ? .pread : .pagemapScan, earlier: .pread, action: action)
      // All of these processes fits into one buffer, so that nothing is read before all was found.
      case .beforeRead: Interruption(site: .processRead, call: 0, action: action)
      }
    }
  }

  /// What must not be.
  private struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  private let race: Race
  private let pageStates: PreDump.Configuration.PageStates

  /// Has all races happen at a moment, in both ways to page states, writes what came of it to a file, and ends this
  /// process if that is not good.
  static func run(at moment: Moment, reportingTo path: String) async {
    await OwnProcess.report(to: path) { watchdog in
      var violations: [String] = []
      var count = 0
      let races = Race.ofMemory + Race.ofNewMemory + Race.ofProcess + Race.ofPid
      for pageStates in pageStatesOfThisKernel {
        for race in races {
          let runs = RacingRuns(race: race, pageStates: pageStates)
          watchdog.watch(runs.title)
          do { try await runs.run(at: moment) } catch { violations.append("\(runs.title): \(error)") }
          watchdog.watch(nil)
          count += 1
        }
      }
      guard violations.isEmpty else { throw Violation(description: violations.joined(separator: "\n")) }
      return "\(count) races as they must be"
    }
  }

  static let pageStatesOfThisKernel: [PreDump.Configuration.PageStates] =
    Kernel.isAtLeast(6, 7) ? [.pagemapScan, .pagemap] : [.pagemap]

  private var title: String { "\(race.name), \(pageStates)" }

  private func run(at moment: Moment) async throws {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { helper in
        try await MappingTarget.run { process in
          let start = try await process.tell(race.range)
          let target = Race.Target(process: process, helper: helper, start: start, directory: directory)
          let happened = Happened()
          try process.waitUntilIdle()
          let interruption = moment.interruption(pageStates) { [race] in
            happened.note {
              try race.change(target)
              if case .images = race.outcome { try process.waitUntilIdle() }
            }
          }
          try await run(target, interruption)
          try happened.check()
        }
      }
    }
  }

  private func run(_ target: Race.Target, _ interruption: Interruption) async throws {
    let images = "\(target.directory)/images"
    var configuration = PreDump.Configuration(pid: target.process.pid, imagesDirectory: images)
    configuration.pageStates = pageStates
    Faults.start(.none, interruption)
    let result = await PreDump(configuration).result()
    _ = Faults.stop()
    switch (result, race.outcome) {
    case (.success(let report), .images(let missing, let extra)):
      try await check(report, in: images, missing: missing, extra: extra, target)
    case (.failure(let error), .failure(let code, let words)):
      guard error.code == code, error.message.contains(words) else {
        throw Violation(description: "\(error.code): \(error)")
      }
      guard names(in: images) == nil else { throw Violation(description: "something is left") }
    case (.success, .failure): throw Violation(description: "it passed unnoticed")
    case (.failure(let error), .images): throw Violation(description: "it failed: \(error.code): \(error)")
    }
  }

  private func check(
    _ report: PreDumpReport, in images: String, missing: Int, extra: Int, _ target: Race.Target
  ) async throws {
    guard report.pagesScanned == report.pagesWritten + report.pagesVanished else {
      throw Violation(description: "\(report.pagesScanned) scanned, \(report.pagesWritten) written")
    }
    try await target.process.program.stop()
    // Only zeros can be had of memory that was dropped, and they do no harm.
    let comparison = try await ImageComparison.run(
      pid: target.process.pid, images: images, options: ["--allow-extra-zero"])
    let expected = ["missing": missing, "extra": extra, "differing": 0, "form_errors": 0]
    guard comparison.counts.filter({ expected.keys.contains($0.key) }) == expected else {
      throw Violation(description: "\(comparison)")
    }
  }
}
