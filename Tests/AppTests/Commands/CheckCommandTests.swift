import Foundation
import Sluice
import SluiceTestSupport
import Testing

@Suite("sluice check", .timeLimit(.minutes(15)))
struct CheckCommandTests {
  /// What the JSON says of each subject.
  private func findings(_ result: CommandResult) throws -> [String: [String: Any]] {
    let list = try #require(try jsonObject(result.output)["findings"] as? [[String: Any]])
    return try Dictionary(uniqueKeysWithValues: list.map { (try #require($0["subject"] as? String), $0) })
  }

  @Test func hasALineForEachThing() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let result = try await SluiceCommandLine.run(
          ["check", "-t", "\(target.pid)", "-D", "\(directory)/images"])
        #expect(result.end == .exited(0), "\(result.errors)")
        #expect(result.errors.isEmpty)
        var lines = result.output.split(separator: "\n")
        #expect(lines.popLast() == "OK: a pre-dump works here")
        let subjects = Capabilities.Subject.allCases.map(\.rawValue)
        #expect(Set(lines.map { String($0.prefix(while: { $0 != " " })) }) == Set(subjects))
        #expect(lines.count == subjects.count)
        let width = subjects.map(\.count).max() ?? 0
        for line in lines {
          let columns = line.dropFirst(width)
          #expect(["  yes  ", "  no   ", "  ?    "].contains(columns.prefix(7)), "\(line)")
          #expect(columns.dropFirst(7).first?.isWhitespace == false, "\(line)")
        }
        #expect(names(in: directory) == [])
      }
      try await target.check()
    }
  }

  @Test func tellsTheSameAsJSON() async throws {
    let result = try await SluiceCommandLine.run(["check", "--json"])
    #expect(result.end == .exited(0), "\(result.errors)")
    let object = try jsonObject(result.output)
    #expect(object["exit_code"] as? Int == 0)
    #expect(object["failure"] == nil)
    let told = try findings(result)
    #expect(told["PAGEMAP_SCAN"]?["available"] as? Bool == Kernel.isAtLeast(6, 7))
    #expect(told["target"] == nil)
  }

  @Test(.needsRoot) func tellsThatATargetMayNotBeRead() async throws {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    try await MemoryTarget.run(["--size", "1M"]) { target in
      let sluice = [try Command.builtPath("sluice"), "check", "-t", "\(target.pid)", "--json"]
      // One who may execute the program wherever it was built.
      let capabilities = ["--bounding-set=-all,+dac_read_search", "--inh-caps=+dac_read_search"]
      let ambient = ["--ambient-caps=+dac_read_search"]
      let result = try await Command(installed: "setpriv", nobody + capabilities + ambient + sluice).run()
      #expect(result.end == .exited(77))
      #expect(result.errorLines.count == 1 && result.errors.contains("CAP_SYS_PTRACE"), "\(result.errors)")
      #expect(try jsonObject(result.output)["exit_code"] as? Int == 77)
      let told = try findings(result)
      #expect(told["target"]?["available"] as? Bool == false)
      #expect(told["CAP_SYS_PTRACE"]?["available"] as? Bool == false)
      #expect(told["CAP_SYS_PTRACE"]?["advice"] != nil)
      #expect(told["CAP_SYS_ADMIN"]?["available"] as? Bool == false)
      let own = try findings(try await SluiceCommandLine.run(["check", "-t", "\(target.pid)", "--json"]))
      #expect(own["target"]?["available"] as? Bool == true)
      #expect(own["CAP_SYS_PTRACE"]?["available"] as? Bool == true)
    }
  }

  @Test(.needsRoot) func tellsThatTooLittleMayBeLocked() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let without = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
        func sluice(_ arguments: [String]) async throws -> CommandResult {
          let program = [try Command.builtPath("sluice")] + arguments
          return try await Command(installed: "prlimit", ["--memlock=65536:65536"] + without + program).run()
        }
        let limit = try #require(try findings(try await sluice(["check", "--json"]))["RLIMIT_MEMLOCK"])
        #expect(limit["available"] as? Bool == false, "\(limit)")
        #expect((limit["found"] as? String)?.contains("64 KiB") == true, "\(limit)")
        // It is as it says.
        let preDump = try await sluice(["pre-dump", "-v", "-t", "\(target.pid)", "-D", "\(directory)/images"])
        #expect(preDump.end == .exited(0))
        #expect(preDump.errors.contains("does not register buffers (ENOMEM)"), "\(preDump.errors)")
      }
    }
  }

  /// Executes its arguments under a seccomp filter for which there is no io_uring_setup (system call 425).
  private static let withoutRing = """
    import ctypes, os, struct, sys
    def instruction(code, yes, no, value): return struct.pack("HBBI", code, yes, no, value)
    code = (instruction(0x20, 0, 0, 0) + instruction(0x15, 0, 1, 425)
        + instruction(0x06, 0, 0, 0x00050000 | 38) + instruction(0x06, 0, 0, 0x7FFF0000))
    block = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(block)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        sys.exit(os.strerror(ctypes.get_errno()))
    os.execv(sys.argv[1], sys.argv[1:])
    """

  @Test func tellsThatAFilterForbidsTheRing() async throws {
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        func sluice(_ arguments: [String]) async throws -> CommandResult {
          let program = try Command.builtPath("sluice")
          return try await Command(installed: "python3", ["-c", Self.withoutRing, program] + arguments).run()
        }
        let what = ["-t", "\(target.pid)", "-D", "\(directory)/images", "--json"]
        let result = try await sluice(["check"] + what)
        #expect(result.end == .exited(0), "\(result.errors)")
        let ring = try #require(try findings(result)["io_uring"])
        #expect(ring["available"] as? Bool == false)
        #expect((ring["found"] as? String)?.contains("ENOSYS") == true, "\(ring)")
        #expect((ring["fallback"] as? String)?.contains("pwrite") == true, "\(ring)")
        // It is as it says.
        let preDump = try await sluice(["pre-dump", "-v"] + what)
        #expect(
          preDump.end == .exited(0) && preDump.errors.contains("no io_uring (ENOSYS)"), "\(preDump.errors)")
      }
    }
  }

  @Test(arguments: [["check", "more"], ["check", "-t", "one"], ["check", "-D"]])
  func refusesWrongUsage(arguments: [String]) async throws {
    expectFailure(try await SluiceCommandLine.run(arguments), code: 64, saying: "--help")
  }
}
