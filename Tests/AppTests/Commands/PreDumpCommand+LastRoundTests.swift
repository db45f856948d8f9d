import Foundation
import SluiceTestSupport
import Testing

/// The last round of `sluice pre-dump`: `--final`, and `--then`.
@Suite("sluice pre-dump: the last round", .timeLimit(.minutes(15)))
struct LastRoundTests {
  private static let wholeRounds = ["--until-pages", "0", "--max-growth", "1000000"]

  @Test func finalLeavesTheMemoryOfOneMomentAndTheProcessStoppedOrRunning() async throws {
    try await MemoryTarget.run(["--size", "8M", "--write-rate", "1000"]) { target in
      try await withTemporaryDirectory { directory in
        for (name, options, state) in [
          ("stopped", ["--leave-stopped"], "State:\tT"), ("running", [String](), "State:\tS"),
        ] {
          let result = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/\(name)",
            ["--rounds", "2", "--final"] + options + Self.wholeRounds)
          #expect(result.end == .exited(0), "\(result.errors)")
          let lines = result.errorLines.filter { $0.hasPrefix("sluice: round ") }
          #expect(lines.count == 2)
          #expect(lines.map { $0.contains("no more rounds") } == [false, true], "\(lines)")
          try await eventually("the process is \(name)") {
            try String(contentsOfFile: "/proc/\(target.pid)/status", encoding: .utf8).contains(state)
          }
          let resuming = "'kill -CONT \(target.pid)'"
          #expect(result.errors.contains(resuming) == (name == "stopped"), "\(result.errors)")
          #expect(result.errors.contains("newest images: \(directory)/\(name)/2\n"), "\(result.errors)")
          guard name == "stopped" else { continue }
          let comparison = try await ImageComparison.run(
            pid: target.pid, images: "\(directory)/\(name)/2")
          #expect(comparison.isEqual, "\(comparison)")
          target.program.resume()
        }
        try await target.check()
      }
    }
  }

  /// Without --rounds there are as many as it takes, and what was predicted stands beside what it came to.
  @Test func maxStopEndsTheRoundsWhenTheStopIsShortEnough() async throws {
    try await MemoryTarget.run(["--size", "8M", "--write-rate", "200"]) { target in
      try await withTemporaryDirectory { directory in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/images",
          ["--final", "--max-stop", "60000", "--stop-readers", "2"])
        #expect(result.end == .exited(0), "\(result.errors)")
        let lines = result.errorLines.filter { $0.hasPrefix("sluice: round ") }
        let isWatched = result.errors.contains("a stop for the rest would take")
        #expect(isWatched && result.errors.contains("short enough"), "\(result.errors)")
        #expect(lines.last?.contains("and predicted for") == true, "\(lines)")
        try await target.check()
      }
    }
  }

  @Test func aStopThatNeverFitsIsNotMadeWhereThatIsAskedFor() async throws {
    try await MemoryTarget.run(["--size", "8M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/images",
          ["--final", "--max-stop", "0.001", "--if-not-converging", "fail"])
        #expect(result.end == .exited(75), "\(result.errors)")
        #expect(result.errors.contains("--max-stop"), "\(result.errors)")
        #expect(!result.errors.contains("the next is the last"), "\(result.errors)")
        try await target.check()
      }
    }
  }

  /// A timer goes off in each stop, and its handler would write to the stack.
  @Test func finalLeavesSignalsThatComeMeanwhileForLater() async throws {
    let program = """
      import signal, threading, time
      signal.signal(signal.SIGALRM, lambda number, frame: None)
      threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
      signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
      print("ready", flush=True)
      while True: pass
      """
    var command = try Command(installed: "python3", ["-c", program])
    command.output = .lines
    try await withProgram(command) { program in
      #expect(try await program.nextLine() == "ready")
      try await withTemporaryDirectory { directory in
        for run in 1...5 {
          let images = "\(directory)/\(run)"
          let result = try await SluiceCommandLine.preDump(
            pid: program.pid, images: images, ["--rounds", "1", "--final", "--leave-stopped"])
          #expect(result.end == .exited(0), "\(result.errors)")
          let status = try String(contentsOfFile: "/proc/\(program.pid)/status", encoding: .utf8)
          #expect(status.contains("State:\tT"))
          #expect(status.contains("ShdPnd:\t0000000000002000"), "SIGALRM waits")
          let comparison = try await ImageComparison.run(pid: program.pid, images: "\(images)/1")
          #expect(comparison.isEqual, "\(comparison)")
          program.resume()
        }
      }
    }
  }

  @Test func thenRunsTheCommandBesideTheLastRoundAndEndsWithItsStatus() async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/it's a chain"
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: images,
          ["--rounds", "2", "--then", "echo {pid} {parent} {other} > {dir}/told; exit 7"] + Self.wholeRounds)
        #expect(result.end == .exited(7), "\(result.errors)")
        let told = try String(contentsOfFile: "\(images)/3/told", encoding: .utf8)
        #expect(told == "\(target.pid) ../2 {other}\n")
        try await target.check()
      }
    }
  }

  @Test(.enabled(if: Kernel.isAtLeast(6, 7)))
  func thenIsRunWhileTheWritesAreStillTracked() async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        // "uw" among the flags of a mapping: a userfaultfd is told of writes to it.
        let command = "grep -c '^VmFlags:.* uw' /proc/{pid}/smaps > {dir}/watched"
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/chain", ["--then", command])
        #expect(result.end == .exited(0), "\(result.errors)")
        let watched = try String(contentsOfFile: "\(directory)/chain/2/watched", encoding: .utf8)
        #expect(Int(watched.dropLast()).map { $0 > 0 } == true, "\(watched)")
        #expect(try TargetState(target.pid).watchedMappings == 0, "nothing is left of it")
      }
    }
  }

  @Test func aSignalEndsTheCommandOfThen() async throws {
    try await MemoryTarget.run(["--size", "4M"]) { target in
      try await withTemporaryDirectory { directory in
        let command = try Command(
          built: "sluice",
          [
            "pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/chain", "--then",
            "echo $$ > {dir}/pid; exec sleep 600",
          ])
        try await withProgram(command) { program in
          let file = "\(directory)/chain/2/pid"
          try await eventually("the command runs") {
            (try? String(contentsOfFile: file, encoding: .utf8).hasSuffix("\n")) == true
          }
          program.send(SIGTERM)
          let result = try await program.result()
          #expect(result.end == .exited(143), "\(result.errors)")
          let pid = try #require(Int32(try String(contentsOfFile: file, encoding: .utf8).dropLast()))
          #expect(kill(pid, 0) == -1 && errno == ESRCH, "the command has ended")
        }
      }
    }
  }

  /// The only thread waits for a child of vfork, and does not stop for as long as that takes.
  @Test func aSignalIsHeededWhileAProcessDoesNotStop() async throws {
    try await ThreadTarget.run(["--first-vforks"]) { target in
      try await eventually("it waits for its child") { try target.threads().map(\.state) == ["D"] }
      try await withTemporaryDirectory { directory in
        let command = try Command(
          built: "sluice", ["pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/chain", "--final"])
        try await withProgram(command) { program in
          // It is waited for no longer than some seconds.
          let pid = target.pid
          try await promptly("it is told to stop", when: { try TargetState(pid).tracer != 0 }) {
            program.send(SIGTERM)
          }
          let result = try await program.result()
          #expect(result.end == .exited(143), "\(result.errors)")
        }
        #expect(names(in: "\(directory)/chain/1") == nil)
        try await eventually("nobody traces it") { try TargetState(target.pid).tracer == 0 }
      }
    }
  }

  /// CRIU restores the process as that user, who reads the rounds and the dump. But what the dump says, and which rounds
  /// there are, stays ours to say.
  @Test(.needsRoot) func thenHasDirectoriesThatTheFirstUserOfTheUserNamespaceMayPassThrough() async throws {
    let target = try Command.builtPath("memory-target")
    var command = try Command(installed: "unshare", ["--user", target, "--size", "1M", "--seconds", "600"])
    command.output = .lines
    try await withProgram(command) { program in
      #expect(try await program.nextLine() == "ready pid=\(program.pid)")
      for (map, outside) in [("uid_map", 70_000), ("gid_map", 80_000)] {
        try Data("0 \(outside) 1000".utf8).write(to: URL(fileURLWithPath: "/proc/\(program.pid)/\(map)"))
      }
      try await withTemporaryDirectory { directory in
        let result = try await SluiceCommandLine.preDump(
          pid: program.pid, images: "\(directory)/chain", ["--rounds", "1", "--then", "true"])
        #expect(result.end == .exited(0), "\(result.errors)")
        for (name, owner) in [("chain", 0), ("chain/1", 70_000), ("chain/2", 0)] as [(String, uid_t)] {
          var status = stat()
          try #require(unsafe stat("\(directory)/\(name)", &status) == 0)
          #expect([status.st_uid, status.st_gid] == [owner, 80_000], "\(name)")
        }
      }
    }
  }

  @Test func whatMakesNoSenseIsRefused() async throws {
    for (options, word) in [
      (["--leave-stopped"], "--final"), (["--final", "--then", "true"], "exclude"),
    ] {
      let result = try await SluiceCommandLine.preDump(pid: 1, images: "/nonexistent", options)
      expectFailure(result, code: 64, saying: word)
    }
  }
}
