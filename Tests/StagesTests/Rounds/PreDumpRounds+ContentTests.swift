import Foundation
import Sluice
import SluiceImages
import SluiceTarget
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Rounds that compare contents")
  struct ContentRoundsTests {
    private func configuration(_ pid: Int32, in directory: String) -> PreDump.Configuration {
      var configuration = PreDump.Configuration(pid: pid, imagesDirectory: directory)
      configuration.tracker = .content
      configuration.syncs = false
      return configuration
    }

    /// One run by itself, on top of another.
    private func pass(
      _ number: Int, _ pid: Int32, in directory: String,
      _ change: (inout PreDump.Configuration) -> Void = { _ in }
    ) async throws -> PreDumpReport {
      var configuration = configuration(pid, in: "\(directory)/\(number)")
      configuration.parentDirectory = number > 1 ? "\(directory)/\(number - 1)" : nil
      change(&configuration)
      return try await PreDump(configuration).run()
    }

    @Test(arguments: [
      ["--size", "16M", "--write-rate", "2000"], ["--size", "16M", "--write-rate", "max", "--writers", "2"],
      ["--size", "32M", "--huge-pages", "yes", "--write-rate", "200"],
      ["--size", "8M", "--remap", "--write-rate", "500"], ["--size", "8M", "--churn", "2"],
      ["--size", "8M", "--vmas", "500", "--write-rate", "500"], ["--size", "8M", "--odd"],
      ["--size", "64M", "--layout", "alternate", "--write-rate", "1000"],
    ])
    func endWithTheMemoryOfOneMoment(options: [String]) async throws {
      try await MemoryTarget.run(options) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await WholeRounds.run(
            configuration(target.pid, in: "\(directory)/chain"), rounds: 4)
          #expect(reports.map(\.tracker) == Array(repeating: .content, count: 4))
          #expect(reports.dropLast().allSatisfy { $0.frozen == .zero })
          #expect(reports.allSatisfy { $0.injections == 0 && $0.clearTime == .zero })
          #expect(reports[3].frozen > .zero)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/4")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func leaveToTheParentWhatIsTheSame() async throws {
      try await MemoryTarget.run(["--size", "16M"]) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await WholeRounds.run(
            configuration(target.pid, in: "\(directory)/chain"), rounds: 3)
          #expect(reports[0].pagesWritten >= 4096)
          #expect(reports[0].pagesSkippedParent == 0)
          for report in reports.dropFirst() {
            #expect(report.pagesSkippedParent >= 4096)
            #expect(report.pagesWritten < 64, "\(report.pagesWritten)")
            #expect(report.pagesWritten + report.pagesSkippedParent == report.pagesScanned)
            #expect(report.processes[0].pagesSkippedParent == report.pagesSkippedParent)
          }
          // The chain needs no hashes to be made one.
          var flatten = FlattenImages(directory: "\(directory)/chain/3", output: "\(directory)/flat")
          flatten.syncs = false
          _ = try await flatten.run()
          try await StagesTests.expectEqual(target.pid, "\(directory)/flat")
          target.program.resume()
        }
      }
    }

    @Test func separateRunsBuildOnEachOther() async throws {
      try await MappingTarget.run { target in
        try await withTemporaryDirectory { directory in
          let start = try await target.map(pages: 300)
          try await target.tell("fill \(hexadecimal(start)) 300")
          let first = try await pass(1, target.pid, in: directory)
          #expect(first.pagesSkippedParent == 0)
          // Written, but to the same; and what is really written.
          try await target.tell("fill \(hexadecimal(start)) 300")
          let changed = [0, 7, 8, 9, 131, 299]
          for page in changed {
            try await target.tell("stamp \(hexadecimal(start + UInt64(page) * ProcessMemory.pageSize)) 1 77")
          }
          try await target.program.stop()
          let second = try await pass(2, target.pid, in: directory)
          #expect(second.parentDirectory == "\(directory)/1")
          try await StagesTests.expectEqual(target.pid, "\(directory)/2")
          let written = try await placed(.present, of: target.pid, in: "\(directory)/2")
          let left = try await placed(.parent, of: target.pid, in: "\(directory)/2")
          for page in 0..<300 {
            let address = start + UInt64(page) * ProcessMemory.pageSize
            #expect(written.contains(address) == changed.contains(page), "page \(page)")
            #expect(left.contains(address) != changed.contains(page), "page \(page)")
          }
          // Nothing was written since, not even the stack.
          let third = try await pass(3, target.pid, in: directory)
          #expect(third.pagesWritten == 0)
          #expect(third.pagesSkippedParent == second.pagesWritten + second.pagesSkippedParent)
          try await StagesTests.expectEqual(target.pid, "\(directory)/3")
          // Two may build on the same: nothing was taken from it.
          let again = try await pass(4, target.pid, in: directory) { $0.parentDirectory = "\(directory)/1" }
          #expect(again.pagesWritten == second.pagesWritten)
          try await StagesTests.expectEqual(target.pid, "\(directory)/4")
          target.program.resume()
        }
      }
    }

    /// The addresses of the pages that a directory has in this way.
    private func placed(_ place: ImageEntries.Place, of pid: Int32, in path: String) async throws -> Set<
      UInt64
    > {
      let entries = try await ImageEntries(path: path, pid: pid)
      var addresses: Set<UInt64> = []
      for try await entry in entries {
        guard entry.place == place else { continue }
        for page in 0..<entry.pageCount { addresses.insert(entry.address + page * entries.pageSize) }
      }
      return addresses
    }

    @Test(arguments: ["flipped", "cut", "removed", "another round's"])
    func brokenHashesHaveEverythingCopied(how: String) async throws {
      try await MemoryTarget.run(["--size", "8M", "--write-rate", "1000"]) { target in
        try await withTemporaryDirectory { directory in
          _ = try await pass(1, target.pid, in: directory)
          _ = try await pass(2, target.pid, in: directory)
          let file = URL(filePath: "\(directory)/2/hashes-\(target.pid).img")
          var bytes = try Data(contentsOf: file)
          switch how {
          case "flipped": bytes[200] ^= 1
          case "cut": bytes = bytes[..<100]
          case "another round's":
            bytes = try Data(contentsOf: URL(filePath: "\(directory)/1/\(file.lastPathComponent)"))
          default: break
          }
          if how == "removed" {
            try FileManager.default.removeItem(at: file)
          } else {
            try bytes.write(to: file)
          }
          try await target.program.stop()
          let report = try await pass(3, target.pid, in: directory)
          #expect(report.pagesSkippedParent == 0)
          #expect(report.pagesWritten >= 2048)
          try await StagesTests.expectEqual(target.pid, "\(directory)/3")
          target.program.resume()
        }
      }
    }

    /// What stands before it was checked, and is used.
    @Test func aFlippedBitFurtherBackHasTheRestCopied() async throws {
      try await MemoryTarget.run(["--size", "64M"]) { target in
        try await withTemporaryDirectory { directory in
          _ = try await pass(1, target.pid, in: directory)
          let file = URL(filePath: "\(directory)/1/hashes-\(target.pid).img")
          var bytes = try Data(contentsOf: file)
          bytes[bytes.count / 2] ^= 16
          try bytes.write(to: file)
          try await target.program.stop()
          let report = try await pass(2, target.pid, in: directory)
          #expect(report.pagesSkippedParent > 4096 && report.pagesSkippedParent < 12288)
          #expect(report.pagesWritten > 4096)
          try await StagesTests.expectEqual(target.pid, "\(directory)/2")
          // Its own hashes are whole.
          let next = try await pass(3, target.pid, in: directory)
          #expect(next.pagesWritten == 0)
          target.program.resume()
        }
      }
    }

    @Test func compareByAddressAfterTheProcessHasExecutedAnotherProgram() async throws {
      try await MemoryTarget.run(["--size", "8M"]) { target in
        try await withTemporaryDirectory { directory in
          let reports = try await WholeRounds.run(
            configuration(target.pid, in: "\(directory)/chain"), rounds: 3
          ) {
            number in
            guard number == 1 else { return }
            target.program.send(SIGHUP)
            _ = try await target.program.nextLine()
          }
          #expect(reports[2].pagesSkippedParent >= 2048)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/3")
          target.program.resume()
        }
      }
    }

    @Test func goOnWithinASmallBudget() async throws {
      try await MemoryTarget.run(["--size", "64M", "--layout", "alternate", "--write-rate", "max"]) {
        target in
        try await withTemporaryDirectory { directory in
          var small = configuration(target.pid, in: "\(directory)/chain")
          small.memoryBudget = 1 << 20
          small.readers = 3
          let reports = try await WholeRounds.run(small, rounds: 3)
          #expect(reports.count == 3)
          try await StagesTests.expectEqual(target.pid, "\(directory)/chain/3")
          target.program.resume()
          try await target.check()
        }
      }
    }

    @Test func aTreeIsComparedProcessByProcess() async throws {
      let options = [["--size", "4M"], ["--size", "4M", "--write-rate", "1000"], ["--size", "4M"]]
      try await TreeTarget.run(options) { tree in
        try await withTemporaryDirectory { directory in
          let reports = try await WholeRounds.run(
            configuration(tree.pid, in: "\(directory)/chain"), rounds: 3)
          #expect(reports[0].processes.count == 4)
          #expect(
            reports[2].processes.allSatisfy { $0.error == nil && $0.pagesSkippedParent > $0.pagesWritten })
          for task in reports[2].processes {
            try await StagesTests.expectEqual(task.pid, "\(directory)/chain/3")
          }
          for task in reports[2].processes { kill(task.pid, SIGCONT) }
        }
      }
    }

    /// Write protection ends with a run, so it is of no use to the next; nor is anything to one that none follows.
    @Test func areMadeByAutoWhereNothingElseTells() async throws {
      let hasSoftDirty = try SoftDirty.isSupported()
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          var runs: [PreDumpReport] = []
          for number in 1...3 {
            runs.append(try await pass(number, target.pid, in: directory) { $0.tracker = .automatic })
          }
          #expect(
            runs.map(\.tracker)
              == (hasSoftDirty ? [.softDirty, .softDirty, .softDirty] : [.nothing, .content, .content]))
          #expect(runs[2].pagesSkippedParent >= 1024)
          var rounds = configuration(target.pid, in: "\(directory)/chain")
          rounds.tracker = .automatic
          // With these, memory is not protected.
          rounds.pageStates = .pagemap
          let reports = try await WholeRounds.run(rounds, rounds: 2, last: nil)
          #expect(
            reports.map(\.tracker) == (hasSoftDirty ? [.softDirty, .softDirty] : [.content, .content]))
          #expect(reports[1].pagesSkippedParent >= 1024)
        }
      }
    }

    @Test func imagesWithoutHashesAreNoBase() async throws {
      try await MemoryTarget.run(["--size", "4M"]) { target in
        try await withTemporaryDirectory { directory in
          _ = try await pass(1, target.pid, in: directory) { $0.tracker = .none }
          let second = try await pass(2, target.pid, in: directory)
          #expect(second.pagesSkippedParent == 0 && second.pagesWritten >= 1024)
          let third = try await pass(3, target.pid, in: directory)
          #expect(third.pagesSkippedParent >= 1024)
        }
      }
    }
  }
}
