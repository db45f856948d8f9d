import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTarget

@Suite("Threads for injections", .timeLimit(.minutes(15)))
struct InjectionThreadsTests {
  /// A program that waits in a call which a stop cuts short, with a second thread that only sleeps, or without.
  private func run(
    _ call: String, threads: Int, _ body: (TargetProcess) throws -> Void
  ) async throws {
    let program = """
      import os, socket, threading, time
      for _ in range(\(threads - 1)): threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
      reading, writing = os.pipe()
      one, other = socket.socketpair()
      print("ready", flush=True)
      \(call)
      """
    var command = try Command(installed: "python3", ["-c", program])
    command.output = .lines
    try await withProgram(command) { program in
      #expect(try await program.nextLine() == "ready")
      try await eventually("it waits") {
        try String(contentsOfFile: "/proc/\(program.pid)/stat", encoding: .utf8).contains(") S ")
      }
      // It may have waited for something else.
      try await Task.sleep(for: .milliseconds(200))
      try body(try TargetProcess(pid: program.pid))
    }
  }

  private static let calls = [
    "os.write(writing, bytes(1 << 22))",
    // What is read in between, by another process, has it run for a moment each time.
    "os.fork() and os.write(writing, bytes(1 << 30)) or [(os.read(reading, 4096), time.sleep(0.001)) for _ in iter(int, 1)]",
    "one.sendall(bytes(1 << 24))", "one.recv(100, socket.MSG_WAITALL)",
  ]

  @Test(arguments: calls)
  func areNotThoseThatWouldLoseAPartOfTheirWork(call: String) async throws {
    try await run(call, threads: 1) { process in
      let error = #expect(throws: TargetError.self) { try InjectionThreads.candidates(of: process) }
      #expect(error?.code == .notTrackable)
      #expect(error?.message.contains("would end early (such as") == true)
    }
    try await run(call, threads: 2) { process in
      let candidates = try InjectionThreads.candidates(of: process)
      // The other one may have run just then; it comes last.
      #expect(candidates.first.map { $0 != process.pid } == true)
    }
  }

  @Test func areThoseThatWaitForAnything() async throws {
    try await run("os.read(reading, 1)", threads: 1) { process in
      let candidates = try InjectionThreads.candidates(of: process)
      #expect(candidates == [process.pid])
    }
  }
}
