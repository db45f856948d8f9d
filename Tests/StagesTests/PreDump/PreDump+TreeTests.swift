import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  @Suite("Pre-dump of a tree")
  struct TreeTests {
    private func stop(_ pids: [Int32]) async throws {
      for pid in pids {
        kill(pid, SIGSTOP)
        try await eventually("process \(pid) is stopped") {
          let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
          return stat.contains(") T ")
        }
      }
    }

    @Test(arguments: [1 << 20, 16 << 20])
    func copiesEachTaskIntoItsOwnFiles(budget: Int) async throws {
      let options = [["--size", "8M"], ["--size", "24M", "--layout", "alternate"], ["--size", "1M"]]
      try await TreeTarget.run(options) { target in
        try await stop(target.children)
        try await withTemporaryDirectory { directory in
          var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          configuration.memoryBudget = budget
          configuration.readers = 2
          let report = try await PreDump(configuration).run()
          #expect(report.processes.map(\.pid).sorted() == ([target.pid] + target.children).sorted())
          #expect(Set(report.processes.map(\.pagesID)).count == 4)
          #expect(report.processes.allSatisfy { $0.error == nil })
          #expect(report.processes.map(\.pagesWritten).reduce(0, +) == report.pagesWritten)
          #expect(report.processesSkipped.isEmpty)
          for child in target.children {
            let comparison = try await ImageComparison.run(pid: child, images: directory)
            #expect(comparison.isEqual, "\(child): \(comparison)")
            let written = report.processes.first { $0.pid == child }?.pagesWritten
            #expect(comparison.counts["in_images"] == written.map(Int.init))
          }
        }
      }
    }

    /// A descendant that ends meanwhile is left out; what the others have is right all the same.
    @Test func leavesOutATaskThatEnds() async throws {
      try await TreeTarget.run([["--size", "48M"], ["--size", "2M"], ["--size", "2M"]]) { target in
        try await stop(target.children)
        try await withTemporaryDirectory { directory in
          let configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: directory)
          let progress = ProgressFeed()
          let victim = target.children[2]
          async let report = PreDump(configuration, progress: progress).run()
          // It ends when the run is known to have begun.
          for await state in progress where state.bytesWritten > 0 {
            kill(victim, SIGKILL)
            break
          }
          let tasks = try await report.processes
          for child in target.children.dropLast() {
            let comparison = try await ImageComparison.run(pid: child, images: directory)
            #expect(comparison.isEqual, "\(child): \(comparison)")
          }
          let names = try FileManager.default.contentsOfDirectory(atPath: directory)
          let isLeftOut = tasks.first { $0.pid == victim }?.error != nil
          #expect(names.contains("pagemap-\(victim).img") == !isLeftOut)
          #expect(names.allSatisfy { !$0.hasSuffix(".partial") })
        }
      }
    }
  }
}
