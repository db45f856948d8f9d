import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// SIGKILL leaves no time for anything: whenever it comes, the process that is copied is as it was, and nothing looks
  /// finished that is not.
  @Suite("Killing a pre-dump")
  struct KillTests {
    /// What is different from the usual configuration.
    enum Variant: String, CaseIterable, Codable, Sendable {
      case usual
      case buffered
      case withoutRing
      case pagemap

      fileprivate func configuration(pid: Int32, images: String) -> PreDump.Configuration {
        var configuration = PreDump.Configuration(pid: pid, imagesDirectory: images)
        switch self {
        case .usual: break
        case .buffered: configuration.io = .buffered
        case .withoutRing:
          configuration.writeEngine = .threads
          configuration.io = .buffered
        case .pagemap: configuration.pageStates = .pagemap
        }
        return configuration
      }
    }

    @Test(arguments: Variant.allCases)
    func leavesTheProcessAloneAndNothingThatLooksFinished(variant: Variant) async throws {
      try await MemoryTarget.run(["--size", "1M", "--odd", "--vmas", "10"]) { target in
        try await target.program.stop()
        try await withTemporaryDirectory { directory in
          let counts = try await calls(variant, pid: target.pid, directory)
          var struck = Set<Faults.Site>()
          for site in Faults.Site.allCases {
            let number = counts[Int(site.rawValue)]
            // The first calls of a site are the most different; the last one is often another, too.
            for call in Set([0, 1, 2, number / 2, number - 1]).sorted() where (0..<number).contains(call) {
              let images = "\(directory)/\(site)-\(call)"
              try await expectNoHarm(variant, target, at: site, call: call, images)
              if FileManager.default.fileExists(atPath: "\(images).struck") { struck.insert(site) }
            }
          }
          let expected: Set<Faults.Site> = [
            .open, .read, .pread, .processRead, .pwrite, .fsync, .rename, .mapBuffers, .unmapBuffers,
          ]
          #expect(struck.isSuperset(of: expected), "\(struck)")
        }
        target.program.resume()
        try await target.check()
      }
    }

    /// How many calls a run makes at each site.
    private func calls(_ variant: Variant, pid: Int32, _ directory: String) async throws -> [Int] {
      let report = "\(directory)/report"
      await #expect(processExitsWith: .success) { [variant, pid, directory = directory as String] in
        await OwnProcess.report(to: "\(directory)/report") { _ in
          Faults.start(.none)
          _ = try await PreDump(variant.configuration(pid: pid, images: "\(directory)/counted")).run()
          return Faults.stop().calls.map { "\($0)" }.joined(separator: " ")
        }
      }
      let text = OwnProcess.reported(at: report)
      let counts = text.split(separator: " ").compactMap { Int($0) }
      return try #require(counts.count == Faults.Site.allCases.count ? counts : nil, "\(text)")
    }

    private func expectNoHarm(
      _ variant: Variant, _ target: MemoryTarget, at site: Faults.Site, call: Int, _ images: String
    ) async throws {
      let (number, pid) = (site.rawValue, target.pid)
      let result = await #expect(processExitsWith: .signal(SIGKILL)) {
        [variant, number = number as UInt32, call, pid = pid as Int32, images = images as String] in
        guard let site = Faults.Site(rawValue: number) else { return }
        let interruption = Interruption(site: site, call: call) {
          _ = FileManager.default.createFile(atPath: "\(images).struck", contents: nil)
          kill(getpid(), SIGKILL)
        }
        Faults.start(.none, interruption)
        _ = await PreDump(variant.configuration(pid: pid, images: images)).result()
        // Threads do not do the same twice: a run may need fewer calls than the one before.
        kill(getpid(), SIGKILL)
      }
      try #require(result != nil, "\(site) call \(call)")
      let name: Comment = "\(site) call \(call)"
      let state = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
      #expect(state.contains(") T "), "\(name): it stands still as it did")
      if !looksFinished(images) {
        // Files that have their names already are not taken away: they might be another's.
        let left = (names(in: images) ?? []).filter { $0.hasSuffix(".img") }
        #expect((try? await ImagesSummary(path: images))?.isFinished != true, name)
        for left in left {
          try FileManager.default.removeItem(atPath: "\(images)/\(left)")
        }
        // What else is left is in nobody's way.
        _ = try await PreDump(variant.configuration(pid: pid, images: images)).run()
      }
      // The inventory has its name only when all else is there.
      let comparison = try await ImageComparison.run(pid: pid, images: images)
      #expect(comparison.isEqual, "\(name): \(comparison)")
      try FileManager.default.removeItem(atPath: images)
    }
  }
}
