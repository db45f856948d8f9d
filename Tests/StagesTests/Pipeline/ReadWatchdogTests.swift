import Foundation
import Sluice
import SluiceTestSupport
import Testing

extension StagesTests {
  /// A read that waits for somebody who does not answer is given up, and nothing waits for its end.
  @Suite("Read watchdog")
  struct ReadWatchdogTests {
    @Test(.needsRoot, arguments: [1, 3])
    func givesUpAReadThatDoesNotEnd(readers: Int) async throws {
      try await withTemporaryDirectory { directory in
        let report = "\(directory)/report"
        await #expect(processExitsWith: .success) { [readers, directory = directory as String] in
          await OwnProcess.report(to: "\(directory)/report") { _ in
            try await StuckRun.run(readers: readers, in: directory)
          }
        }
        let text = OwnProcess.reported(at: report)
        if text != "given up" { Issue.record("\(text)") }
      }
    }
  }
}

/// A pre-dump whose reader gets stuck. For a process of its own: the moment is a system call of the whole process.
private enum StuckRun {
  static func run(readers: Int, in directory: String) async throws -> String {
    try await MappingTarget.run { target in
      let start = try await target.map(pages: 64)
      try await target.tell("catch-faults-elsewhere \(hexadecimal(start)) 64")
      try target.waitUntilIdle()
      let images = "\(directory)/images"
      var configuration = PreDump.Configuration(pid: target.pid, imagesDirectory: images)
      configuration.readers = readers
      configuration.readTimeLimit = .seconds(1)
      let happened = Happened()
      let drop = Interruption(site: .processRead, call: 0) {
        // MADV_DONTNEED: what was found is not there any more when it is read.
        happened.note { try target.tellNow("advise \(hexadecimal(start)) 64 4") }
      }
      Faults.start(.none, drop)
      let result = await PreDump(configuration).result()
      _ = Faults.stop()
      try happened.check()
      guard case .failure(let error) = result else { throw TestFailure("it succeeded") }
      guard error.code == .io, error.message.contains("timed out") else { throw TestFailure("\(error)") }
      guard names(in: images) == nil else { throw TestFailure("something is left") }
      // One thread is left in its read, and ends with it.
      guard StagesTests.threadNames().count == 1 else { throw TestFailure("\(StagesTests.threadNames())") }
      try await target.exit()
      try await eventually("the thread that was left behind has ended") { StagesTests.threadNames().isEmpty }
      return "given up"
    }
  }
}
