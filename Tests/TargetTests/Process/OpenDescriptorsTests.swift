import CSluiceLinux
import Glibc
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Open descriptors", .timeLimit(.minutes(15)))
struct OpenDescriptorsTests {
  /// More of one kind than there is room for at first, others between them, and one whose link is longer.
  @Test func areFoundByTheirLinks() async throws {
    let program = """
      import os, time
      events = []
      for _ in range(40):
          events.append(os.eventfd(0))
          os.pipe()
      os.memfd_create("anon_inode:[eventfd]")
      print(*events, flush=True)
      time.sleep(600)
      """
    var command = try Command(installed: "python3", ["-c", program])
    command.output = .lines
    try await withProgram(command) { program in
      let events = try await program.nextLine().split(separator: " ").compactMap { Int32($0) }
      #expect(events.count == 40)
      #expect(
        try OpenDescriptors(of: program.pid, linkedTo: "anon_inode:[eventfd]").numbers.sorted() == events)
      #expect(try OpenDescriptors(of: program.pid, linkedTo: "anon_inode:[userfaultfd]").numbers.isEmpty)
      program.send(SIGKILL)
      _ = try await program.result()
      let error = #expect(throws: ProcFile.OpenFailed.self) {
        _ = try OpenDescriptors(of: program.pid, linkedTo: "anon_inode:[eventfd]")
      }
      #expect(error?.errno.code == ENOENT)
    }
  }
}
