import CSluiceLinux
import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Worker threads", .timeLimit(.minutes(15)))
struct WorkerThreadsTests {
  private static let line = "12345"
  private static let whole = "io_uring_enter 0, the request 6"

  private func withRequest(
    _ kind: String, _ body: (Program) async throws -> Void
  ) async throws {
    var command = try Command(built: "ring-target", [kind])
    command.hasInput = true
    command.output = .lines
    try await withProgram(command) { program in
      #expect(try await program.nextLine() == "waits")
      if kind == "worker" {
        try await eventually("a worker waits for the request") {
          var workers = try WorkerThreads(of: [TargetProcess(pid: program.pid)])
          return try workers.waitUntilIdle() == program.pid
        }
      }
      try await body(program)
    }
  }

  @Test func `go on with what they wait for while the others stand still`() async throws {
    try await withRequest("worker") { program in
      for _ in 0..<5 {
        try await blocking {
          var tree = try ProcessTree(root: program.pid)
          var stopped = try StoppedTree(of: tree, freezing: nil)
          try stopped.stop(&tree)
          #expect(stopped.withWaitingWorkers == [program.pid])
          #expect(try stopped.writtenByWorkers() == [], "what sleeps writes nothing")
          stopped.resume()
        }
      }
      try program.write(line: Self.line)
      #expect(try await program.nextLine() == Self.whole)
    }
  }

  @Test func `are noticed when they end a request meanwhile`() async throws {
    try await withRequest("worker") { program in
      try await blocking {
        var tree = try ProcessTree(root: program.pid)
        var stopped = try StoppedTree(of: tree, freezing: nil)
        try stopped.stop(&tree)
        try program.write(line: Self.line)
        let deadline = ContinuousClock.now + longestWait
        while try stopped.writtenByWorkers().isEmpty, ContinuousClock.now < deadline { usleep(1000) }
        #expect(try stopped.writtenByWorkers() == [program.pid])
        stopped.resume()
      }
      #expect(try await program.nextLine() == Self.whole)
    }
  }

  @Test func `are never had to make a call`() async throws {
    try await withRequest("worker") { program in
      let process = try TargetProcess(pid: program.pid)
      #expect(try InjectionThreads.candidates(of: process) == [program.pid])
      #expect(try ThreadList(of: process).all().count == 2)
      var injector = Injector()
      _ = try injector.makeUserfault(in: process)
      try program.write(line: Self.line)
      #expect(try await program.nextLine() == Self.whole)
    }
  }

  /// It would end early (EINTR), as it does whenever its thread stops.
  @Test func `the program's own wait for a completion is begun anew after an injection`() async throws {
    try await withRequest("enter") { program in
      try await eventually("it waits") {
        try String(contentsOfFile: "/proc/\(program.pid)/syscall", encoding: .utf8).hasPrefix(
          "\(sluice_ring_enter_call()) ")
      }
      let process = try TargetProcess(pid: program.pid)
      var injector = Injector()
      for _ in 0..<5 { _ = try injector.makeUserfault(in: process) }
      try program.write(line: Self.line)
      #expect(try await program.nextLine() == Self.whole)
    }
  }

  /// The freezer interrupts workers, too.
  @Test func `keep their cgroup from being frozen while they have requests`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await withRequest("worker") { program in
      try cgroup.add(program.pid)
      try await blocking {
        var tree = try ProcessTree(root: program.pid)
        var stopped = try StoppedTree(of: tree, freezing: cgroup.path)
        do throws(TargetError) {
          try stopped.stop(&tree)
          Issue.record("the request would end early")
        } catch {
          #expect(error.description.contains("do not have it frozen"), "\(error)")
        }
      }
      try program.write(line: Self.line)
      #expect(try await program.nextLine() == Self.whole)
    }
  }
}
