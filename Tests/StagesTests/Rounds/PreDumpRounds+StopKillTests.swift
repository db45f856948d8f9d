import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// A last round stops the process by ptrace, and copies meanwhile. Whenever SIGKILL comes, the process goes on: the
  /// kernel lets go of what a thread of ours has traced.
  @Suite("Killing a round that stops the process")
  struct KilledLastRoundTests {
    @Test func leavesTheProcessRunning() async throws {
      try await MemoryTarget.run(["--size", "1M", "--write-rate", "100", "--sleepers", "2"]) { target in
        try await withTemporaryDirectory { directory in
          let calls = try await calls(pid: target.pid, directory)
          // Each of the threads is seized and told to stop.
          try #require(calls[Int(Faults.Site.trace.rawValue)] >= 6)
          var struck = Set<Faults.Site>()
          for site in Faults.Site.allCases {
            let number = calls[Int(site.rawValue)]
            let chosen =
              site == .trace
              ? Set(0..<number) : Set([0, number / 2, number - 1].filter { $0 >= 0 && $0 < number })
            for call in chosen.sorted() {
              let images = "\(directory)/\(site)-\(call)"
              try await expectNoHarm(target, at: site, call: call, images)
              if FileManager.default.fileExists(atPath: "\(images).struck") { struck.insert(site) }
            }
          }
          #expect(struck.isSuperset(of: [.trace, .reaperStart, .processRead, .fsync, .rename]), "\(struck)")
          try await target.check()
        }
      }
    }

    /// How many calls both make at each site.
    private func calls(pid: Int32, _ directory: String) async throws -> [Int] {
      await #expect(processExitsWith: .success) { [pid, directory = directory as String] in
        await OwnProcess.report(to: "\(directory)/report") { _ in
          Faults.start(.none)
          try await StoppingRounds.run(pid, in: "\(directory)/counted")
          return Faults.stop().calls.map { "\($0)" }.joined(separator: " ")
        }
      }
      let text = OwnProcess.reported(at: "\(directory)/report")
      let counts = text.split(separator: " ").compactMap { Int($0) }
      return try #require(counts.count == Faults.Site.allCases.count ? counts : nil, "\(text)")
    }

    private func expectNoHarm(
      _ target: MemoryTarget, at site: Faults.Site, call: Int, _ images: String
    ) async throws {
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [number = site.rawValue as UInt32, call, pid = target.pid as Int32, images = images as String] in
        guard let site = Faults.Site(rawValue: number) else { return }
        let interruption = Interruption(site: site, call: call) {
          _ = FileManager.default.createFile(atPath: "\(images).struck", contents: nil)
          kill(getpid(), SIGKILL)
        }
        Faults.start(.none, interruption)
        try? await StoppingRounds.run(pid, in: images)
        // Threads do not do the same twice: rounds may need fewer calls than those before.
        kill(getpid(), SIGKILL)
      }
      try await eventually("nobody holds it after a kill at \(site) call \(call)") {
        try StoppingRounds.leavesRunning(target.pid)
      }
      // Its images are those of one moment, or unfinished.
      if looksFinished("\(images)/2") {
        #expect(try await VerifyImages(directory: "\(images)/2").run().problems == [], "\(site) call \(call)")
      }
      // It may not have come to making them.
      try? FileManager.default.removeItem(atPath: images)
    }
  }
}
