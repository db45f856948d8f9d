import Foundation
import SluicePipeline
import SluiceTestSupport
import Synchronization
import Testing

@testable import Sluice

extension StagesTests {
  /// The processes stand still until all is read, and no longer than they may, whatever becomes of the writing.
  @Suite("The lease of a stop")
  struct StopLeaseTests {
    private static let sleepers = ["--size", "8M", "--write-rate", "100", "--sleepers", "2"]

    /// The disk takes nothing more, or syncs for ever, as it seems: until the processes run.
    @Test(arguments: [Faults.Site.pwrite, .fsync])
    func endsWhenAllIsRead(site: Faults.Site) async throws {
      try await expect(["ends well"], at: site) { _ in }
    }

    /// There are buffers for a part of the memory only, and the disk takes none of it.
    @Test func endsWhenTheTimeIsOver() async throws {
      try await expect(["--stop-timeout", "io"], at: .pwrite) {
        $0.memoryBudget = 1 << 20
        $0.stopTimeLimit = .milliseconds(300)
      }
    }

    /// They were to be left stopped, by a round that then fails.
    @Test func endsWhenTheTimeIsOverForOneThatLeavesThemStopped() async throws {
      try await expect(["--stop-timeout", "io"], at: .fsync, lastRound: .leavesStopped) {
        $0.stopTimeLimit = .milliseconds(300)
      }
    }

    @Test func endsFirstWhenItIsCancelled() async throws {
      try await expect(["cancelled"], at: .pwrite, cancels: true) { $0.memoryBudget = 1 << 20 }
    }

    /// The walk is in the kernel meanwhile, which does not come back.
    @Test func endsWhileTheWalkIsStuck() async throws {
      try await expect(["--stop-timeout", "io"], at: .pagemapScan) { $0.stopTimeLimit = .milliseconds(300) }
    }

    /// The thread that stops the threads is in the kernel meanwhile, which does not come back. Nobody else can let go of
    /// those that it has stopped by then, but they run on when our process ends.
    @Test(arguments: [false, true])
    func isGivenUpWhenTheTracerIsStuck(isComparison: Bool) async throws {
      try await MemoryTarget.run(Self.sleepers) { target in
        try await withTemporaryDirectory { directory in
          let images = "\(directory)/images"
          if isComparison { _ = try await PreDump(.init(pid: target.pid, imagesDirectory: images)).run() }
          await #expect(processExitsWith: .success) {
            [
              pid = target.pid as Int32, images = images as String, report = "\(directory)/report" as String,
              isComparison = isComparison as Bool
            ] in
            await OwnProcess.report(to: report) { _ in
              Faults.start(.none, Interruption(site: .trace, call: 3) { while true { sleep(1000) } })
              do throws(SluiceError) {
                if isComparison {
                  var check = ContentsCheck(directory: images, pid: pid)
                  check.stopTimeLimit = .milliseconds(300)
                  _ = try await check.run()
                } else {
                  var configuration = PreDump.Configuration(pid: pid, imagesDirectory: images)
                  (configuration.tracker, configuration.stopTimeLimit) = (.none, .milliseconds(300))
                  var policy = RoundPolicy()
                  policy.rounds = 1
                  var rounds = try RoundSequence(configuration, policy: policy, lastRound: .resumes)
                  while let round = try await rounds.next() { rounds.ended(try await round.run()) }
                }
                return "ends well"
              } catch {
                return "\(error.code) \(error)"
              }
            }
          }
          let text = OwnProcess.reported(at: "\(directory)/report")
          #expect(text.hasPrefix("stoppedTooLong"), "\(text)")
          #expect(text.contains("waits in the kernel"), "\(text)")
          try await eventually("it runs") { try StoppingRounds.leavesRunning(target.pid) }
          try await target.check()
        }
      }
    }

    @Test func refusesNoTimeAtAll() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "\(directory)/images")
          configuration.stopTimeLimit = .zero
          let end = await PreDump(configuration).result()
          #expect(throws: SluiceError.self) { try end.get() }
          #expect(names(in: directory) == [])
          var check = ContentsCheck(directory: directory, pid: target.pid)
          check.stopTimeLimit = .zero
          await #expect(throws: SluiceError.self) { try await check.run() }
        }
      }
    }

    /// Comparing is under way, and goes on when the time is over or nobody wants to know any more.
    @Test(arguments: [false, true])
    func endsForAComparison(isCancelled: Bool) async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await withTemporaryDirectory { directory in
          let images = "\(directory)/images"
          _ = try await PreDump(.init(pid: target.pid, imagesDirectory: images)).run()
          let report = "\(directory)/report"
          await #expect(processExitsWith: .success) {
            [
              pid = target.pid as Int32, images = images as String, report = report as String,
              isCancelled = isCancelled as Bool
            ] in
            await OwnProcess.report(to: report) { _ in
              let task = Locked<Task<String, Never>?>(nil)
              Faults.start(
                .none,
                Interruption(site: .processRead, call: 1) {
                  if isCancelled { task.withLock { $0?.cancel() } }
                  StopLeaseTests.waitUntilItRuns(pid)
                })
              let run = Task { () -> String in
                var check = ContentsCheck(directory: images, pid: pid)
                if !isCancelled { check.stopTimeLimit = .milliseconds(300) }
                do throws(SluiceError) {
                  _ = try await check.run()
                  return "ends well"
                } catch {
                  return "\(error.code) \(error)"
                }
              }
              task.withLock { $0 = run }
              return await run.value
            }
          }
          let text = OwnProcess.reported(at: report)
          #expect(text.contains(isCancelled ? "cancelled" : "stoppedTooLong"), "\(text)")
          try await target.check()
        }
      }
    }

    /// Makes a last round in a process of its own, in which a call does not come back before the target runs again.
    ///
    /// - Parameter parts: what its end is told to be.
    private func expect(
      _ parts: [String], at site: Faults.Site, lastRound: PreDumpRounds.LastRound = .resumes,
      cancels: Bool = false, _ choose: @escaping @Sendable (inout PreDump.Configuration) -> Void
    ) async throws {
      try await MemoryTarget.run(Self.sleepers) { target in
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: "")
          choose(&configuration)
          let (attoseconds, seconds) = (
            configuration.stopTimeLimit.components.attoseconds, configuration.stopTimeLimit.components.seconds
          )
          let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
          let leaves = lastRound == .leavesStopped
          await #expect(processExitsWith: .success) {
            [
              pid = target.pid as Int32, directory = directory as String, number = site.rawValue as UInt32,
              budget = configuration.memoryBudget as Int, milliseconds = milliseconds as Int64,
              cancels = cancels as Bool, leaves = leaves as Bool
            ] in
            await OwnProcess.report(to: "\(directory)/report") { _ in
              guard let site = Faults.Site(rawValue: number) else { return "no site" }
              let task = Locked<Task<String, Never>?>(nil)
              // From the moment on that it stands still, which this waits for.
              Faults.start(
                .none,
                Interruption(site: site, earlier: .trace) {
                  if cancels { task.withLock { $0?.cancel() } }
                  StopLeaseTests.waitUntilItRuns(pid)
                })
              let run = Task { () -> String in
                var configuration = PreDump.Configuration(pid: pid, imagesDirectory: "\(directory)/images")
                (configuration.memoryBudget, configuration.writeEngine) = (budget, .threads)
                // One write that does not end is all that there is.
                configuration.queueDepth = 1
                (configuration.tracker, configuration.stopTimeLimit) = (.none, .milliseconds(milliseconds))
                var policy = RoundPolicy()
                policy.rounds = 1
                do throws(SluiceError) {
                  var rounds = try RoundSequence(
                    configuration, policy: policy, lastRound: leaves ? .leavesStopped : .resumes)
                  while let round = try await rounds.next() { rounds.ended(try await round.run()) }
                  return "ends well"
                } catch {
                  return "\(error.code) \(error)"
                }
              }
              task.withLock { $0 = run }
              return await run.value
            }
          }
          let text = OwnProcess.reported(at: "\(directory)/report")
          for part in parts { #expect(text.contains(part), "\(text)") }
          try await eventually("it runs") { try StoppingRounds.leavesRunning(target.pid) }
          #expect(looksFinished("\(directory)/images/1") == text.hasPrefix("ends well"))
          try await target.check()
        }
      }
    }

    /// In vain, where something else than the reading has to come to its end first.
    private static func waitUntilItRuns(_ pid: Int32) {
      let deadline = ContinuousClock.now + longestWait
      while (try? StoppingRounds.leavesRunning(pid)) != true {
        guard ContinuousClock.now < deadline else {
          fatalError("the process stands still as long as this waits")
        }
        usleep(1000)
      }
    }
  }
}
