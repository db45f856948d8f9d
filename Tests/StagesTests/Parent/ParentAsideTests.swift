import Foundation
import Logging
import SluiceImages
import SluicePipeline
import SluiceTarget
import SluiceTestSupport
import Testing

@testable import Sluice

extension StagesTests {
  /// What becomes of the parent's inventory when something fails at the moments that matter.
  @Suite("Parents that are set aside")
  struct ParentAsideTests {
    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Two rounds, of which the second fails in one call for its parent.
    ///
    /// - Parameter site: the last call there is the one that fails.
    /// - Returns: the warnings.
    private func warnings(
      failing site: Faults.Site, pid: Int32, in directory: String
    ) async throws -> String {
      let report = "\(directory)/report"
      await #expect(processExitsWith: .success) {
        [number = site.rawValue as UInt32, pid, directory = directory as String] in
        await OwnProcess.report(to: "\(directory)/report") { _ in
          let site = Faults.Site(rawValue: number) ?? .open
          let calls = try await WarnedRounds.run(pid, in: "\(directory)/counted", .none).calls
          let strike = Faults.Strike(site: site, call: calls[Int(number)] - 1, errno: EIO)
          let failed = try await WarnedRounds.run(pid, in: "\(directory)/failed", .one(strike))
          return failed.warnings.joined(separator: "\n")
        }
      }
      #expect(exists("\(directory)/failed/2/inventory.img"), "what was made is valid all the same")
      return OwnProcess.reported(at: report)
    }

    @Test(.enabled(if: Kernel.isAtLeast(6, 7)))
    func stayAsideWhereItCannotBeNotedThatARoundWasBuiltOnThem() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let warnings = try await warnings(failing: .makeLink, pid: target.pid, in: directory)
          #expect(warnings.contains("\(directory)/failed/2 are complete, but"), "\(warnings)")
          #expect(warnings.contains("their inventory.img stays set aside"), "\(warnings)")
          #expect(warnings.contains("\(directory)/failed/1/child: EIO"), "\(warnings)")
          #expect(!exists("\(directory)/failed/1/inventory.img"))
          #expect(try ParentImages(path: "\(directory)/failed/1").isSetAside)
          try await target.check()
        }
      }
    }

    @Test(.enabled(if: Kernel.isAtLeast(6, 7)))
    func stayAsideWhereTheyCannotBePutBack() async throws {
      try await MemoryTarget.run(["--size", "1M"]) { target in
        try await withTemporaryDirectory { directory in
          let warnings = try await warnings(failing: .rename, pid: target.pid, in: directory)
          #expect(warnings.contains("\(directory)/failed/2 are complete, but"), "\(warnings)")
          #expect(warnings.contains("it can be renamed by hand"), "\(warnings)")
          #expect(warnings.contains("\(directory)/failed/1/inventory.img.aside"), "\(warnings)")
          let parent = try ParentImages(path: "\(directory)/failed/1")
          #expect(parent.isSetAside)
          #expect(parent.child == "../2")
          // As the warning says.
          try FileManager.default.moveItem(
            atPath: "\(directory)/failed/1/inventory.img.aside", toPath: "\(directory)/failed/1/inventory.img"
          )
          #expect(try await VerifyImages(directory: "\(directory)/failed/2").run().problems == [])
          try await target.check()
        }
      }
    }

    /// Where the first of the tree's processes cannot be cleared, nothing is lost yet; after it, something is.
    @Test(arguments: [0, 1], Clearing.onThisKernel)
    func areAsBeforeOnlyWhileNothingWasCleared(cleared: Int, clearing: Clearing) async throws {
      try await TreeTarget.run([["--size", "1M"], ["--size", "1M"]]) { target in
        try await withTemporaryDirectory { directory in
          let images = "\(directory)/images"
          _ = try await PreDump(.init(pid: target.pid, imagesDirectory: images)).run()
          let report = "\(directory)/report"
          await #expect(processExitsWith: .success) {
            [
              cleared, clearing, pid = target.pid as Int32, images = images as String,
              report = report as String
            ] in
            await OwnProcess.report(to: report) { _ in
              try await blocking { try clearing.failure(of: pid, on: images, after: cleared) }
            }
          }
          let text = OwnProcess.reported(at: report)
          let pid = cleared == 0 ? target.pid : nil
          #expect(text.contains("writing /proc/\(pid.map { "\($0)" } ?? "")"), "\(text)")
          #expect(text.contains("clear_refs: EIO"), "\(text)")
          #expect(exists("\(images)/inventory.img") == (cleared == 0))
          #expect(try ParentImages(path: images).isSetAside == (cleared > 0))
          // What the round before had left is of use still where nothing was taken from it.
          if clearing == .both { #expect(text.contains("base: \(cleared == 0)"), "\(text)") }
        }
      }
    }
  }
}

extension StagesTests.ParentAsideTests {
  /// What clears the soft-dirty bits of a tree for a round upon an earlier one.
  enum Clearing: String, Codable, Sendable {
    /// While the tree stands still.
    case softDirty
    /// While it runs, with write protection beside it.
    case both

    static var onThisKernel: [Clearing] { Kernel.isAtLeast(6, 7) ? [.softDirty, .both] : [.softDirty] }

    /// Has it fail after so many processes. For a process of its own.
    ///
    /// - Returns: what it fails with.
    func failure(of pid: Int32, on images: String, after cleared: Int) throws -> String {
      let configuration = PreDump.Configuration(pid: pid, imagesDirectory: "")
      var tree = try ProcessTree(root: pid)
      let parent = try ParentImages(path: images)
      let tracking = WriteTracking()
      let tracker: any DirtyTracker
      switch self {
      case .softDirty:
        tracker = SoftDirtyTracker(configuration: configuration, dirtyBytes: 1 << 20, team: nil)
      case .both:
        tracker = WriteProtectTracker(
          configuration: configuration, tracking: tracking, seesSoftDirty: true, mayGiveUp: false,
          dirtyBytes: 1 << 20, team: nil)
        try complete(images, of: tree, tracking)
      }
      Faults.start(.one(Faults.Strike(site: .write, call: cleared, errno: EIO)))
      do {
        let journal = RunJournal(logger: configuration.logger)
        do {
          _ = try tracker.begin(&tree, on: .images(parent), journal)
        } catch {
          journal.putParentBack()
          throw error
        }
        return "it did not fail"
      } catch {
        return "\(error); base: \(tracking.base(on: .images(parent), where: [pid]) != nil)"
      }
    }

    /// As if a round of the same run had made the images.
    private func complete(_ images: String, of tree: ProcessTree, _ tracking: WriteTracking) throws {
      for process in tree.processes { _ = try tracking.protect(process) }
      let tasks = tree.processes.enumerated().map {
        DumpedProcess(
          index: $0.offset, process: $0.element, protection: tracking.protection(of: $0.element))
      }
      tracking.roundIsComplete(
        in: images, of: tasks,
        unsettled: DirtySet(byteCount: DirtySet.smallestBytes, processCount: tasks.count), walkedAt: 0)
    }
  }
}

/// Two rounds of which the second sets the first aside, and what they warn of.
private enum WarnedRounds {
  static func run(
    _ pid: Int32, in directory: String, _ plan: FaultPlan
  ) async throws -> (calls: [Int], warnings: [String]) {
    let warnings = Locked([String]())
    var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
    configuration.tracker = .writeProtect
    configuration.logger = Logger(label: "test") { _ in Warnings(kept: warnings) }
    var policy = RoundPolicy()
    (policy.rounds, policy.untilPages, policy.untilSkippedPercent) = (2, 0, 100.5)
    policy.maxGrowthPages = 1 << 40
    Faults.start(plan)
    var rounds = try RoundSequence(configuration, policy: policy)
    while let round = try await rounds.next() { rounds.ended(try await round.run()) }
    let record = Faults.stop()
    return (record.calls, warnings.withLock { $0 })
  }
}
