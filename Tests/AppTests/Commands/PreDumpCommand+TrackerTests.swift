import Foundation
import SluiceTestSupport
import Testing

/// `sluice pre-dump --tracker` with processes that cannot be watched.
@Suite(
  "sluice pre-dump: processes that cannot be watched", .timeLimit(.minutes(15)),
  .enabled(if: Kernel.isAtLeast(6, 7)))
struct TrackerTests {
  /// The only thread waits for a child of vfork, and nothing but its end interrupts that.
  @Test func autoTakesAnotherAndSaysWhy() async throws {
    try await ThreadTarget.run(["--first-vforks"]) { target in
      try await eventually("it waits for its child") { try target.threads().map(\.state) == ["D"] }
      try await withTemporaryDirectory { directory in
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/chain",
          ["--rounds", "2", "--until-pages", "0", "--until-skipped", "100", "--json", "-v"])
        let trackers = try result.output.split(separator: "\n").map { line in
          let report = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
          return try #require(report?["tracker"] as? String)
        }
        let notice = result.errorLines.first { $0.contains("instead of") }
        #expect(notice?.contains("does not stop: ETIMEDOUT") == true, "\(result.errors)")
        if trackers.first == "soft-dirty" {
          // Its later rounds stop the process, which this one cannot be.
          #expect(trackers == ["soft-dirty"])
          #expect(result.end == .exited(71) && result.errors.contains("does not stop"), "\(result.errors)")
        } else {
          #expect(trackers == ["content", "content"])
          #expect(result.end == .exited(0), "\(result.errors)")
        }
        #expect(try TargetState(target.pid).watchedMappings == 0)
        try await eventually("it is traced no longer") { try TargetState(target.pid).tracer == 0 }
      }
    }
  }

  /// While it is watched, what it maps takes more of these than otherwise.
  @Test func aProcessWithAlmostAllMappingsThatItMayHaveIsComparedInstead() async throws {
    try await MappingTarget.run { target in
      let text = try ProcessMemory.text(ofFileAt: "/proc/sys/vm/max_map_count")
      let limit = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
      try await target.tell("pieces \(limit - limit / 16)")
      try await withTemporaryDirectory { directory in
        let check = try await SluiceCommandLine.run(["check", "-t", "\(target.pid)"])
        let finding = check.output.split(separator: "\n").first { $0.hasPrefix("max_map_count") }
        #expect(finding?.contains("  no   ") == true, "\(check.output)")
        let asked = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/asked", ["--rounds", "2", "--tracker", "write-protect"])
        #expect(asked.end == .exited(71) && asked.errors.contains("vm.max_map_count"), "\(asked.errors)")
        let result = try await SluiceCommandLine.preDump(
          pid: target.pid, images: "\(directory)/chain",
          ["--rounds", "2", "--until-pages", "0", "--until-skipped", "100", "-v"])
        #expect(result.end == .exited(0), "\(result.errors)")
        let notice = result.errorLines.first { $0.contains("instead of") }
        #expect(notice?.contains("vm.max_map_count") == true, "\(result.errors)")
        #expect(try TargetState(target.pid).watchedMappings == 0)
      }
    }
  }

  /// Belongs to very many groups, and has a filter that ends it should it call userfaultfd (system call 323).
  private static let filtered = """
    import ctypes, os, struct, sys, time
    def instruction(code, yes, no, value): return struct.pack("HBBI", code, yes, no, value)
    code = (instruction(0x20, 0, 0, 0) + instruction(0x15, 0, 1, 323)
        + instruction(0x06, 0, 0, 0x80000000) + instruction(0x06, 0, 0, 0x7FFF0000))
    block = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(block)))
    os.setgroups(range(100000, 104000))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        sys.exit(os.strerror(ctypes.get_errno()))
    print("ready", flush=True)
    time.sleep(600)
    """

  /// Its line in /proc/PID/status is behind that of the groups.
  @Test(.needsRoot) func aFilterThatMayNotBeSuspendedIsSeen() async throws {
    var command = try Command(installed: "python3", ["-c", Self.filtered])
    command.output = .lines
    try await withProgram(command) { target in
      #expect(try await target.nextLine() == "ready")
      try await withTemporaryDirectory { directory in
        let program = try Command.builtPath("sluice")
        for (name, prefix) in [
          ("suspended", []), ("not", ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]),
        ] {
          let arguments = [
            program, "pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/\(name)", "--tracker",
            "write-protect",
          ]
          let result = try await Command(installed: "env", prefix + arguments).run()
          if prefix.isEmpty {
            #expect(result.end == .exited(0), "\(result.errors)")
          } else {
            expectFailure(result, code: 71, saying: "seccomp filter")
          }
          #expect(!target.hasEnded, "the filter has not seen the call")
        }
      }
    }
  }
}
