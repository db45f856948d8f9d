import Foundation
import Logging
import SluicePipeline
import SluiceTestSupport

@testable import Sluice

/// Rounds of a process that executes another program before each system call of one of them in turn; the first thing
/// that is not as it must be ends it.
///
/// For a process of its own: the moment is a system call of the whole process.
struct ExecutingRounds {
  /// In which round that is, and what tells it what was written.
  enum Variant: String, CaseIterable, Codable, Sendable {
    case firstRound, laterRound, lastRound, laterRoundByContent

    /// The number of that round.
    var number: Int { self == .firstRound ? 1 : 2 }
  }

  private struct Violation: Error, CustomStringConvertible {
    let description: String
  }

  private let variant: Variant
  private let target: MappingTarget
  /// A child of the process, which does not execute anything: it is copied again all the same.
  private let child: Int32
  private let directory: String
  private let warnings = Locked([String]())

  /// The places that a round calls the kernel at in its course, from the first look to the last name.
  private static let sites: [Faults.Site] = [
    .open, .read, .pread, .listThreads, .pagemapScan, .mappingQuery, .processRead, .makeLink, .pwrite, .fsync,
    .rename,
  ]

  /// Runs them all, writes what came of it to a file, and ends this process if that is not good.
  static func run(_ variant: Variant, reportingTo path: String) async {
    await OwnProcess.report(to: path) { watchdog in
      try await with(variant) { rounds in
        let counts = try await rounds.chain("counted", Interruption(site: .open, call: -1) {}).calls
        var (again, count) = (0, 0)
        for site in sites {
          let number = counts[Int(site.rawValue)]
          for call in Set([0, number / 2, number - 1]).sorted() where (0..<number).contains(call) {
            let moment = "\(variant), before \(site) call \(call)"
            watchdog.watch(moment)
            do {
              if try await rounds.tries("\(site)-\(call)", at: site, call: call) > 1 { again += 1 }
            } catch {
              throw Violation(description: "\(moment): \(error)")
            }
            watchdog.watch(nil)
            count += 1
          }
        }
        return "\(count) runs as they must be, \(again) with a round made again"
      }
    }
  }

  /// The same with one that executes another program in each try.
  ///
  /// - Returns: by the file, what the last try has failed with.
  static func runInVain(reportingTo path: String) async {
    await OwnProcess.report(to: path) { watchdog in
      try await with(.laterRound) { rounds in
        watchdog.watch("executing in each try")
        return try await rounds.failure()
      }
    }
  }

  private static func with<Result>(
    _ variant: Variant, _ body: (ExecutingRounds) async throws -> Result
  ) async throws -> Result {
    try await withTemporaryDirectory { directory in
      try await MappingTarget.run { target in
        _ = try await target.map(pages: 64)
        let child = Int32(try await target.tell("child"))
        return try await body(
          ExecutingRounds(variant: variant, target: target, child: child, directory: directory))
      }
    }
  }

  private var policy: RoundPolicy {
    WholeRounds.policy(rounds: variant == .lastRound ? 2 : variant.number + 1)
  }

  private func configuration(_ chain: String) -> PreDump.Configuration {
    var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/\(chain)")
    configuration.tracker = variant == .laterRoundByContent ? .content : .writeProtect
    let warnings = warnings
    configuration.logger = Logger(label: "test") { _ in Warnings(kept: warnings) }
    return configuration
  }

  private func execute() throws {
    try target.tellNow("exec")
    let start = try target.tellNow("map 32")
    try target.tellNow("stamp \(hexadecimal(start)) 32 1")
  }

  /// - Returns: how often the round was begun.
  private func tries(_ chain: String, at site: Faults.Site, call: Int) async throws -> Int {
    let happened = Happened()
    let done = try await self.chain(
      chain,
      Interruption(site: site, call: call) {
        happened.note {
          // A stop may come earlier than when the calls were counted, and while it stands still, it executes nothing.
          guard try TargetState(target.pid).tracer == 0 else { return }
          try execute()
        }
      })
    // Threads do not do the same twice: a round may need fewer calls than the one before.
    if done.wasInterrupted { try happened.check() }
    let state = try TargetState(target.pid)
    guard state.watchedMappings == 0, state.tracer == 0 else {
      throw Violation(description: "left behind: \(state)")
    }
    try FileManager.default.removeItem(atPath: "\(directory)/\(chain)")
    return done.tries
  }

  private struct Done {
    var calls: [Int] = []
    var wasInterrupted = false
    var tries = 0
  }

  /// Makes the rounds, and has the one in question interrupted.
  private func chain(_ chain: String, _ interruption: Interruption) async throws -> Done {
    var done = Done()
    warnings.withLock { $0 = [] }
    var rounds = try RoundSequence(configuration(chain), policy: policy, lastRound: .leavesStopped)
    while let round = try await rounds.next() {
      let isInterrupted = rounds.number == variant.number && done.calls.isEmpty
      if isInterrupted { Faults.start(.none, interruption) }
      let images = round.configuration.imagesDirectory
      let result = await round.result()
      if isInterrupted {
        let record = Faults.stop()
        done.calls = callsBeforeAStop(record)
        done.wasInterrupted = record.interrupted != nil
      }
      switch result {
      case .success(let report):
        rounds.ended(report)
        if rounds.number == variant.number { done.tries = report.tries }
        if report.tries > 1 { try await check(report, isLast: rounds.isOver) }
      case .failure(let error):
        guard isInterrupted, error.isCausedByExec else { throw error }
        guard names(in: images) == nil else {
          throw Violation(description: "left: \(names(in: images) ?? [])")
        }
        try rounds.failed(error)
      }
    }
    try await checkLast("\(directory)/\(chain)", rounds.number)
    let said = warnings.withLock { $0 }
    // Once, and with no other reason.
    let again = said.filter { $0.hasPrefix("round \(variant.number) is made again (try 2 of 4): process ") }
    guard again.count == max(0, done.tries - 1), said.count == again.count else {
      throw Violation(description: "warnings: \(said)")
    }
    return done
  }

  /// While the process stands still, it executes nothing.
  private func callsBeforeAStop(_ record: Faults.Record) -> [Int] {
    let end = record.order.firstIndex(of: .trace) ?? record.order.endIndex
    return record.order[..<end].reduce(into: [Int](repeating: 0, count: Faults.Site.allCases.count)) {
      $0[Int($1.rawValue)] += 1
    }
  }

  /// That a round that was made again has the new program, and nothing else.
  private func check(_ report: PreDumpReport, isLast: Bool) async throws {
    guard report.tries == 2 else { throw Violation(description: "\(report.tries) tries") }
    if !isLast { try await stop() }
    try await checkEqual(report.imagesDirectory)
    if !isLast { resume() }
  }

  private func checkLast(_ chain: String, _ number: Int) async throws {
    defer { resume() }
    try await checkEqual("\(chain)/\(number)")
    let problems = try await VerifyImages(directory: "\(chain)/\(number)").run().problems
    guard problems == [] else { throw Violation(description: "\(problems)") }
    for round in 1...number {
      let found = names(in: "\(chain)/\(round)") ?? []
      // Aside where something was lost that it would have known: then nothing is built on it.
      let isAside = round == variant.number - 1 && found.contains("inventory.img.aside")
      guard found.contains("inventory.img") != isAside else {
        throw Violation(description: "round \(round): \(found)")
      }
    }
  }

  private func checkEqual(_ images: String) async throws {
    for pid in [target.pid, child] {
      let comparison = try await ImageComparison.run(pid: pid, images: images)
      guard comparison.isEqual else {
        throw Violation(description: "\(images), process \(pid): \(comparison)")
      }
    }
  }

  private func stop() async throws {
    kill(child, SIGSTOP)
    try await target.program.stop()
    try await eventually("the child stands still") { try Program.isStopped(child) }
  }

  private func resume() {
    kill(child, SIGCONT)
    target.program.resume()
  }

  /// Makes rounds of which the process leaves none in peace after the first.
  private func failure() async throws -> SluiceError {
    var rounds = try RoundSequence(configuration("vain"), policy: policy)
    while let round = try await rounds.next() {
      let happened = Happened()
      if rounds.number == variant.number {
        Faults.start(.none, Interruption(site: .processRead, call: 0) { happened.note { try execute() } })
      }
      let result = await round.result()
      _ = Faults.stop()
      switch result {
      case .success(let report):
        guard rounds.number < variant.number else { throw Violation(description: "it passed unnoticed") }
        rounds.ended(report)
      case .failure(let error):
        try happened.check()
        do throws(SluiceError) { try rounds.failed(error) } catch {
          try checkGivenUp("\(directory)/vain")
          return error
        }
      }
    }
    throw Violation(description: "it passed unnoticed")
  }

  private func checkGivenUp(_ chain: String) throws {
    guard names(in: "\(chain)/\(variant.number)") == nil else {
      throw Violation(description: "something is left")
    }
    let parent = names(in: "\(chain)/\(variant.number - 1)") ?? []
    guard parent.contains("inventory.img.aside"), !parent.contains("inventory.img") else {
      throw Violation(description: "the parent looks finished: \(parent)")
    }
    _ = try target.tellNow("map 1")
  }
}
