import Foundation
import SluiceTestSupport
import Testing

@Suite("sluice verify", .timeLimit(.minutes(15)))
struct VerifyCommandTests {
  @Test func saysWhetherAllIsWell() async throws {
    try await MemoryTarget.run(["--size", "2M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        let made = try await SluiceCommandLine.preDump(pid: target.pid, images: directory)
        #expect(made.end == .exited(0))
        let well = try await SluiceCommandLine.run(["verify", "-D", directory])
        #expect(well.end == .exited(0))
        #expect(well.output.hasSuffix("\n  OK\n"), "\(well.output)")
        // It goes on writing, so the images are soon old.
        let old = try await SluiceCommandLine.run([
          "verify", "-D", directory, "-t", "\(target.pid)", "--json",
        ])
        #expect(old.end == .exited(65))
        #expect(old.output.contains("\"ok\":false"))
        #expect(old.output.contains("\"differing\":"))
        let text = try await SluiceCommandLine.run(["verify", "-D", directory, "-t", "\(target.pid)"])
        #expect(text.end == .exited(65))
        #expect(text.output.contains("  the process was stopped for "), "\(text.output)")
        #expect(text.output.contains("a process that runs writes to its memory"), "\(text.output)")
        #expect(text.output.contains("'kill -CONT \(target.pid)'"), "\(text.output)")
        #expect(text.output.hasSuffix("\n  not equal\n"), "\(text.output)")
        try await target.check()

        let pages = "\(directory)/pages-1.img"
        let size = try #require(
          try FileManager.default.attributesOfItem(atPath: pages)[.size] as? UInt64)
        #expect(unsafe truncate(pages, Int(size) - 4096) == 0)
        let broken = try await SluiceCommandLine.run(["verify", "-D", directory])
        #expect(broken.end == .exited(65))
        #expect(broken.output.contains("  problem: ") && broken.output.hasSuffix("\n  problems found\n"))
        #expect(broken.output.contains("pages-1.img"))
      }
    }
  }

  @Test func aProcessThatStandsStillIsEqual() async throws {
    try await MemoryTarget.run(["--size", "2M", "--odd"]) { target in
      try await withTemporaryDirectory { directory in
        try await target.program.stop()
        _ = try await SluiceCommandLine.preDump(pid: target.pid, images: directory)
        let result = try await SluiceCommandLine.run(["verify", "-D", directory, "-t", "\(target.pid)"])
        #expect(result.end == .exited(0), "\(result.output)\(result.errors)")
        #expect(result.output.contains("process \(target.pid): equal: "))
        #expect(result.output.contains(" 0 differing, 0 missing, 0 gone"))
        #expect(result.output.contains("  the process was stopped for ") && !result.output.contains("note: "))
        // The kernel lets it run as far as its stop.
        try await eventually("it stands still as it did") { try target.program.isStopped() }
        target.program.resume()
        try await target.check()
      }
    }
  }

  /// When the wait is interrupted, the kernel writes to its memory how much of that is left: nanosleep, and then
  /// restart_syscall.
  @Test func aProcessThatSleepsIsEqual() async throws {
    try await withProgram(try Command(installed: "sleep", ["600"])) { program in
      try await eventually("it sleeps") {
        try String(contentsOfFile: "/proc/\(program.pid)/wchan", encoding: .utf8).contains("nanosleep")
      }
      try await withTemporaryDirectory { directory in
        let made = try await SluiceCommandLine.preDump(pid: program.pid, images: directory)
        #expect(made.end == .exited(0), "\(made.errors)")
        for _ in 0..<10 {
          let result = try await SluiceCommandLine.run(["verify", "-D", directory, "-t", "\(program.pid)"])
          #expect(result.end == .exited(0), "\(result.output)\(result.errors)")
        }
      }
    }
  }

  /// By their mappings, and by a line of their own where these are gone too.
  @Test func tellsWhereWhatIsGoneHasBeen() async throws {
    try await MappingTarget.run { target in
      try await withTemporaryDirectory { directory in
        let (kept, left) = (try await target.map(pages: 10), try await target.map(pages: 5))
        _ = try await SluiceCommandLine.preDump(pid: target.pid, images: directory)
        // MADV_DONTNEED
        try await target.tell("advise \(hexadecimal(kept)) 3 4")
        try await target.tell("unmap \(hexadecimal(left)) 5")
        let command = ["verify", "-D", directory, "-t", "\(target.pid)"]
        let text = try await SluiceCommandLine.run(command).output
        let end = kept + 10 * ProcessMemory.pageSize
        let bounds = "\(hexadecimal(kept))-\(hexadecimal(end))"
        #expect(text.contains("    \(bounds): 0 differing, 0 missing, 3 gone\n"), "\(text)")
        #expect(text.contains("    no longer mapped: 5 gone\n"), "\(text)")
        let output = try jsonObject(try await SluiceCommandLine.run(command + ["--json"]).output)
        let task = try #require((output["tasks"] as? [[String: Any]])?.first)
        #expect(task["unmapped"] as? Int == 5)
        #expect(task["gone"] as? Int == 8)
        let mappings = try #require(task["mappings"] as? [[String: Any]])
        #expect(mappings.first { $0["start"] as? String == hexadecimal(kept) }?["gone"] as? Int == 3)
      }
    }
  }

  @Test func saysWhatItCannotLookAt() async throws {
    expectFailure(
      try await SluiceCommandLine.run(["verify", "-D", "/nowhere/at/all"]), code: 66,
      saying: "/nowhere/at/all")
    try await withTemporaryDirectory { directory in
      try await MemoryTarget.run(["--size", "1M"]) { target in
        _ = try await SluiceCommandLine.preDump(pid: target.pid, images: directory)
        expectFailure(
          try await SluiceCommandLine.run(["verify", "-D", directory, "-t", "4000000"]), code: 66,
          saying: "there is no process 4000000")
      }
    }
  }
}
