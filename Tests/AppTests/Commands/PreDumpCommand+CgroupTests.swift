import Foundation
import SluiceTestSupport
import Testing

/// `sluice pre-dump --freeze-cgroup`, and processes that somebody else has frozen.
@Suite("sluice pre-dump: cgroups", .serialized, .timeLimit(.minutes(15)))
struct CgroupCommandTests {
  private static let final = ["--rounds", "1", "--final"]

  private static func isStopped(_ pid: Int32) throws -> Bool {
    try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8).contains("State:\tT")
  }

  /// Frozen, it could not thaw itself; nor could the guard, which is in the same cgroup.
  @Test(arguments: [
    // It itself, in the cgroup or below it.
    "echo $$ > CGROUP/cgroup.procs; exec SLUICE", "echo $$ > CGROUP/inner/cgroup.procs; exec SLUICE",
    // A shell that waits for it.
    "echo $$ > CGROUP/cgroup.procs; (sh -c 'echo $$ > CGROUP/../cgroup.procs; exec SLUICE'); exit $?",
  ])
  func `a cgroup that we depend on is refused before anything is frozen`(script: String) async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let inner = try TestCgroup("inner", below: cgroup)
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        try cgroup.add(target.pid)
        for options in [Self.final, []] {
          let sluice = try [
            Command.builtPath("sluice"), "pre-dump", "-t", "\(target.pid)", "-D", "\(directory)/images",
            "--freeze-cgroup", cgroup.path,
          ]
          let command = script.replacingOccurrences(of: "CGROUP", with: cgroup.path)
            .replacingOccurrences(of: "SLUICE", with: (sluice + options).joined(separator: " "))
          let result = try await Command(installed: "sh", ["-c", command]).run()
          #expect(result.end == .exited(64), "\(result.errors)")
          #expect(result.errorLines.count == 1 && result.errors.contains(cgroup.path), "\(result.errors)")
          #expect(try !cgroup.asksForFreezing())
        }
      }
      try await target.check()
    }
    _ = consume inner
  }

  /// What is copied is of one moment, or there is nothing.
  @Test func `a last round that somebody else lets run in the middle fails`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    try await MemoryTarget.run(["--size", "32M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        try cgroup.add(target.pid)
        // No round comes through without a thaw, and the cgroup stands still for a moment between two.
        let thaws = "while :; do echo 1 > FREEZE; sleep 0.003; echo 0 > FREEZE; done"
          .replacingOccurrences(of: "FREEZE", with: "\(cgroup.path)/cgroup.freeze")
        try await withProgram(try Command(installed: "sh", ["-c", thaws])) { _ in
          let result = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/images", Self.final + ["--freeze-cgroup", cgroup.path])
          #expect(result.end == .exited(71), "\(result.errors)")
          #expect(result.errors.contains("thaws") || result.errors.contains("thawed"), "\(result.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/images/1/inventory.img"))
        try cgroup.thaw()
        try await target.check()
      }
    }
  }

  @Test func `a cgroup above that is frozen and thawed all the while harms nothing`() async throws {
    guard let above = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let cgroup = try TestCgroup("below", below: above)
    try await MemoryTarget.run(["--size", "16M", "--write-rate", "max"]) { target in
      try await withTemporaryDirectory { directory in
        try cgroup.add(target.pid)
        let thaws = "while :; do echo 1 > FREEZE; echo 0 > FREEZE; done"
          .replacingOccurrences(of: "FREEZE", with: "\(above.path)/cgroup.freeze")
        try await withProgram(try Command(installed: "sh", ["-c", thaws])) { _ in
          let result = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/images",
            Self.final + ["--leave-stopped", "--freeze-cgroup", cgroup.path])
          #expect(result.end == .exited(0), "\(result.errors)")
          #expect(try cgroup.asksForFreezing())
          let comparison = try await ImageComparison.run(
            pid: target.pid, images: "\(directory)/images/1", options: ["--live"])
          #expect(comparison.isEqual, "\(comparison)")
        }
        try above.thaw()
        try cgroup.thaw()
        try await target.check()
      }
    }
  }

  /// Such as what was executed into a container.
  @Test func `what is frozen and not copied is told`() async throws {
    guard let cgroup = TestCgroup() else {
      print("skipped: no cgroup of version 2 can be made here")
      return
    }
    let inner = try TestCgroup("inner", below: cgroup)
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await MemoryTarget.run(["--size", "1M"]) { guest in
        try await withTemporaryDirectory { directory in
          try cgroup.add(target.pid)
          try inner.add(guest.pid)
          let result = try await SluiceCommandLine.preDump(
            pid: target.pid, images: "\(directory)/images",
            ["--rounds", "2", "--until-pages", "0", "--final", "--json", "--freeze-cgroup", cgroup.path])
          #expect(result.end == .exited(0), "\(result.errors)")
          let warnings = result.errorLines.filter { $0.contains("warning") }
          #expect(warnings.count == 1 && warnings[0].contains("\(guest.pid)"), "\(result.errors)")
          let reports = try result.output.split(separator: "\n").map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
          }
          #expect(reports.count == 2)
          for report in reports {
            #expect((report["tasks_skipped"] as? [String: String])?.keys.map { $0 } == ["\(guest.pid)"])
          }
          try await guest.check()
        }
      }
      try await target.check()
    }
  }

  /// A thread that was stopped by a signal and then frozen by version 1 does not come to be traced before it is thawed.
  @Test(arguments: [["--rounds", "2"], final, ["-t"]])
  func `what cannot be traced is told in time, and is not traced`(options: [String]) async throws {
    guard let freezer = TestFreezer() else {
      print("skipped: no freezer of version 1 here")
      return
    }
    try await MemoryTarget.run(["--size", "1M"]) { target in
      try await withTemporaryDirectory { directory in
        let images = "\(directory)/images"
        let verifies = options == ["-t"]
        if verifies {
          let result = try await SluiceCommandLine.preDump(pid: target.pid, images: images)
          #expect(result.end == .exited(0), "\(result.errors)")
        }
        try freezer.add(target.pid)
        target.program.send(SIGSTOP)
        try await eventually("it is stopped") { try Self.isStopped(target.pid) }
        try freezer.freeze()
        try await eventually("it is frozen") { try freezer.isFrozen() }
        let result =
          verifies
          ? try await SluiceCommandLine.run(["verify", "-D", images, "-t", "\(target.pid)"])
          : try await SluiceCommandLine.preDump(pid: target.pid, images: images, options)
        #expect(result.end == .exited(71), "\(result.errors)")
        #expect(result.errors.contains("cannot be traced"), "\(result.errors)")
        #expect(ProcessMemory.status("TracerPid", of: target.pid) == 0)
        try freezer.thaw()
        try await eventually("it is stopped as before") { try Self.isStopped(target.pid) }
        target.program.resume()
        try await target.check()
      }
    }
  }
}
