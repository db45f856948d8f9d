import Foundation
import SluiceTestSupport
import Testing

@testable import sluice

@Suite("sluice core", .timeLimit(.minutes(15)))
struct CoreCommandTests {
  private func core(_ pid: Int32, _ path: String, _ options: [String] = []) async throws -> CommandResult {
    try await SluiceCommandLine.run(["core", "-t", "\(pid)", "-o", path] + options)
  }

  /// gdb finds in it what it finds in its own core of the same stopped process: threads, registers, libraries, memory.
  @Test(arguments: [1, 8, 200]) func `gdb finds what it finds in its own`(threads: Int) async throws {
    var command = try Command(built: "core-target", ["crash", "\(threads)"])
    command.hasInput = true
    command.output = .lines
    try await withProgram(command) { program in
      _ = try await program.nextLine()
      try await program.stop()
      try await withTemporaryDirectory { directory in
        let result = try await core(program.pid, "\(directory)/core")
        try #require(result.end == .exited(0), "\(result.errors)")
        #expect(
          result.errors.contains(threads == 1 ? " 1 thread," : " \(threads) threads,"), "\(result.errors)")
        try await CoreTools.compareWithMemory("\(directory)/core", pid: program.pid)
        // It leaves the process running.
        let own = try await Command(installed: "gcore", ["-o", "\(directory)/own", "\(program.pid)"]).run()
        try #require(own.end == .exited(0), "\(own.errors)")
        try await CoreTools.compare(
          "\(directory)/core", with: "\(directory)/own.\(program.pid)",
          of: try Command.builtPath("core-target"))
        let stack = try await Command(installed: "eu-stack", ["--core", "\(directory)/core"]).run()
        #expect(stack.output.components(separatedBy: "TID ").count - 1 == threads)
      }
    }
  }

  @Test func `tells what was done, for people and programs`() async throws {
    try await MemoryTarget.run(["--size", "4M", "--write-rate", "1000"]) { target in
      try await withTemporaryDirectory { directory in
        let result = try await core(target.pid, "\(directory)/core.{pid}.{name}", ["--json"])
        try #require(result.end == .exited(0), "\(result.errors)")
        let path = "\(directory)/core.\(target.pid).memory-target"
        #expect(result.errors.contains("into \(path) in "), "\(result.errors)")
        #expect(result.errors.contains("; stopped for "), "\(result.errors)")
        #expect(try JSONSchema.ofSluice().problems(of: result.output, as: "core") == [])
        let figures = try jsonObject(result.output)
        let cores = try #require(figures["cores"] as? [[String: Any]])
        #expect(cores.count == 1)
        #expect(cores[0]["path"] as? String == path)
        #expect(cores[0]["bytes"] as? Int == fileSize(path))
        #expect(try #require(figures["rounds"] as? [[String: Any]]).last?["final"] as? Bool == true)
        try await target.check()
      }
    }
  }

  @Test func `what cannot be is one line and an exit code`() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let (pid, path) = ("\(target.pid)", "\(directory)/core")
        let cases: [(arguments: [String], code: Int32, text: String)] = [
          (["-t", "999999999", "-o", path], 66, "999999999"),
          (["-t", pid, "-o", "\(directory)/missing/core"], 73, "missing"),
          (["-t", pid, "-o", directory], 73, "replaced (--force): EEXIST"),
          (["-t", pid, "-o", ""], 64, "name is empty"),
          (["-t", pid, "-o", path, "--tree"], 64, "{pid}"),
          (["-t", pid, "-o", path, "--rounds", "-1"], 64, "--rounds"),
          (["-t", pid, "-o", path, "--filter", "xyz"], 64, "--filter"),
          (["-t", pid, "-o", path, "--if-not-converging", "fail"], 64, "--max-stop"),
          (["-t", pid, "-o", path, "--memory-budget", "1K"], 64, "too small"),
          (["-t", pid, "-o", path, "--max-rate", "-1"], 64, "a size is a number"),
          (
            ["-t", pid, "-o", path, "--rounds", "0", "--max-stop", "0.001", "--if-not-converging", "fail"],
            75, "--max-stop"
          ),
        ]
        for (arguments, code, text) in cases {
          let result = try await SluiceCommandLine.run(["core"] + arguments)
          #expect(result.end == .exited(code), "\(arguments): \(result.errors)")
          #expect(result.errors.contains(text), "\(arguments): \(result.errors)")
          #expect(result.errorLines.count == 1, "\(arguments): \(result.errors)")
        }
        #expect(names(in: directory) == [])
        try await target.check()
      }
    }
  }

  /// What would be ignored there is refused, rather than a core made that is not as it was asked for.
  @Test(arguments: [
    ["--tree"], ["--rounds", "2"], ["--max-stop", "20"], ["--filter", "7f"], ["--dirty-only"],
    ["--stacks-only"],
    ["--pids", "outside"], ["--compress", "zstd"], ["--stop-timeout", "1"], ["--readers", "2"],
    ["--stop-readers", "1"], ["--max-rate", "1M"], ["--max-rate-file", "rate"], ["--io", "cached"],
    ["--progress", "json"],
  ])
  func `options of running processes are refused with images and with compressed cores`(
    option: [String]
  ) async throws {
    try await withTemporaryDirectory { directory in
      for source in ["--from", "--expand"] {
        let result = try await SluiceCommandLine.run(
          ["core", source, directory, "-o", "\(directory)/core"] + option)
        expectFailure(result, code: 64, saying: "\(option[0]) has no effect with \(source)")
      }
      let budget = ["--memory-budget", "8M", "-o", "\(directory)/core"]
      expectFailure(
        try await SluiceCommandLine.run(["core", "--from", directory] + budget), code: 64,
        saying: "--memory-budget has no effect with --from")
      // It bounds what expanding takes.
      expectFailure(
        try await SluiceCommandLine.run(["core", "--expand", "\(directory)/none"] + budget), code: 66,
        saying: "none")
      #expect(names(in: directory) == [])
    }
  }

  /// As with other output, and however the core is written.
  @Test(arguments: ["", "--compress zstd"]) func `a reader that has gone is no failure to complain of`(
    options: String
  ) async throws {
    // Of random memory, so that even the compressed core is longer than what a pipe holds.
    try await MemoryTarget.run(["--size", "4M"]) { target in
      let script = "{ \"$0\" core -t \(target.pid) -o - \(options); echo \"ended with $?\" >&2; } | true"
      let result = try await Command("/bin/sh", ["-c", script, Command.builtPath("sluice")]).run()
      #expect(result.errors == "ended with 141\n")
      try await target.check()
    }
  }

  @Test(.needsRoot) func `a full disk leaves no file, and the process as it was`() async throws {
    try await MemoryTarget.run(["--size", "16M"]) { target in
      let small = try SmallFilesystem(kibibytes: 4096, files: 10)
      let result = try await core(target.pid, "\(small.path)/core")
      #expect(result.end == .exited(74), "\(result.errors)")
      #expect(result.errors.contains("ENOSPC"), "\(result.errors)")
      #expect(names(in: small.path) == [])
      try await target.check()
    }
  }

  @Test func `a process that ends meanwhile has no core`() async throws {
    try await withTemporaryDirectory { directory in
      try await MemoryTarget.run(["--size", "128M", "--write-rate", "max"]) { target in
        async let ended = core(target.pid, "\(directory)/core", ["--max-rate", "20M"])
        try await Task.sleep(for: .milliseconds(700))
        target.program.send(SIGKILL)
        let result = try await ended
        #expect(result.end == .exited(75), "\(result.errors)")
        #expect(names(in: directory) == [])
      }
    }
  }

  /// The kinds of memory that it is told to, and no others.
  @Test func `takes the kinds of memory that it is told to`() async throws {
    try await MappingTarget.run { target in
      try await withTemporaryDirectory { directory in
        let area = try await target.map(pages: 20)
        try await target.tell("stamp \(hexadecimal(area)) 20 \(0x5345_4352_4554)")
        try await target.program.stop()
        func has(_ options: [String]) async throws -> Bool {
          let path = "\(directory)/core"
          let result = try await core(target.pid, path, options + ["--force"])
          try #require(result.end == .exited(0), "\(result.errors)")
          return try Data(contentsOf: URL(fileURLWithPath: path)).range(of: Data("TERCES".utf8)) != nil
        }
        #expect(try await has([]))
        #expect(try await has(["--filter", "0x1"]))
        #expect(try await !has(["--filter", "30"]))
        #expect(try await has(["--dirty-only"]))
      }
    }
  }

  /// The calls of all threads are what they are in a whole core, in a small part of its room.
  @Test func `the stacks alone show the same calls`() async throws {
    var command = try Command(built: "core-target", ["crash", "8"])
    command.hasInput = true
    command.output = .lines
    try await withProgram(command) { program in
      _ = try await program.nextLine()
      try await program.stop()
      try await withTemporaryDirectory { directory in
        var calls: [String] = []
        for (name, options) in [("all", []), ("stacks", ["--stacks-only"])] {
          let result = try await core(program.pid, "\(directory)/\(name)", options)
          try #require(result.end == .exited(0), "\(result.errors)")
          let shown = try await Command(
            installed: "gdb",
            [
              "-batch", "-nx", "-ex", "thread apply all bt", "-ex", "info sharedlibrary",
              try Command.builtPath("core-target"), "\(directory)/\(name)",
            ]
          ).run()
          calls.append(
            shown.output.components(separatedBy: "\n").filter { $0.hasPrefix("#") || $0.hasPrefix("0x") }
              .joined(separator: "\n"))
        }
        #expect(calls[0] == calls[1])
        #expect(calls[0].contains("wait_for_ever"))
        // It has eight MiB of memory.
        #expect(try #require(fileSize("\(directory)/stacks")) < 2 << 20)
      }
    }
  }

  /// What comes out of a pipe, or of zstd, is the core.
  @Test func `goes to standard output, compressed or not, and is expanded`() async throws {
    try await MemoryTarget.run(["--size", "4M", "--odd"]) { target in
      try await target.program.stop()
      try await withTemporaryDirectory { directory in
        // Each before the next: a stop may have the kernel write how much is left of a wait.
        for (options, name, isStream) in [
          ([], "plain", true), (["--compress", "zstd"], "streamed.zst", true),
          (["--compress", "zstd"], "file.zst", false),
        ] {
          let path = "\(directory)/\(name)"
          var command = try Command(
            built: "sluice", ["core", "-t", "\(target.pid)", "-o", isStream ? "-" : path] + options)
          if isStream {
            try Data().write(to: URL(fileURLWithPath: path))
            command.output = .file(path)
          }
          let result = try await command.run()
          try #require(result.end == .exited(0), "\(result.errors)")
          guard !options.isEmpty else {
            try await CoreTools.compareWithMemory(path, pid: target.pid)
            continue
          }
          let expanded = try await SluiceCommandLine.run([
            "core", "--expand", path, "-o", "\(path).core", "--json",
          ])
          try #require(expanded.end == .exited(0), "\(expanded.errors)")
          #expect(try JSONSchema.ofSluice().problems(of: expanded.output, as: "core-expand") == [])
          try await CoreTools.compareWithMemory("\(path).core", pid: target.pid)
        }
      }
    }
  }

  @Test func `what is no core of zstd, or no checkpoint, is told`() async throws {
    try await withTemporaryDirectory { directory in
      let garbage = "\(directory)/garbage"
      try Data("no core".utf8).write(to: URL(fileURLWithPath: garbage))
      let cases: [(arguments: [String], code: Int32)] = [
        (["--expand", garbage], 65), (["--expand", "\(directory)/none"], 66), (["--from", directory], 65),
        (["--from", "\(directory)/none"], 66), ([], 64), (["--from", directory, "--expand", garbage], 64),
        (["--from", directory, "--stacks-only"], 64), (["--expand", garbage, "-t", "1"], 64),
      ]
      for (arguments, code) in cases {
        let result = try await SluiceCommandLine.run(["core", "-o", "\(directory)/core"] + arguments)
        #expect(result.end == .exited(code), "\(arguments): \(result.errors)")
        #expect(result.errorLines.count == 1, "\(arguments): \(result.errors)")
      }
      #expect(names(in: directory) == ["garbage"])
    }
  }
}
