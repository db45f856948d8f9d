import Foundation
import SluiceTestSupport
import Testing

/// A process of which the kernel writes a core: whatever interrupts the thread that does so cuts the core short.
@Suite(
  "A process that dumps core", .serialized, .timeLimit(.minutes(15)), .enabled(if: KernelCore.isPossible))
struct CoreDumpTests {
  @Test func `is neither stopped nor injected into, and every command says so`() async throws {
    try await withTemporaryDirectory { directory in
      try await KernelCore.take { core in
        try await withProgram(try KernelCore.command(threads: 8)) { program in
          #expect(try await program.nextLine() == "ready")
          // What is compared with it later.
          let images = "\(directory)/before"
          _ = try await SluiceCommandLine.preDump(pid: program.pid, images: images)
          try program.write(line: "crash")
          try await KernelCore.begins(of: program.pid)
          let rounds = ["--rounds", "2", "--until-pages", "0"]
          for (name, options) in [
            ("final", ["--rounds", "1", "--final"]), ("rounds", rounds + ["--tracker", "write-protect"]),
            ("last", rounds + ["--final", "--tracker", "content"]),
          ] {
            let result = try await SluiceCommandLine.preDump(
              pid: program.pid, images: "\(directory)/\(name)", options)
            #expect(result.end == .exited(75), "\(name): \(result.errors)")
            #expect(
              result.errors.contains("process \(program.pid) is dumping core"), "\(name): \(result.errors)")
          }
          let verified = try await SluiceCommandLine.run(["verify", "-D", images, "-t", "\(program.pid)"])
          #expect(verified.end == .exited(75), "\(verified.errors)")
          let rate = try await SluiceCommandLine.run(["dirty-rate", "-t", "\(program.pid)", "--seconds", "1"])
          #expect(rate.end == .exited(75), "\(rate.errors)")
          let check = try await SluiceCommandLine.run(["check", "-t", "\(program.pid)"])
          #expect(check.output.contains("process \(program.pid) is dumping core"), "\(check.output)")
          // Reading does no harm.
          let read = try await SluiceCommandLine.preDump(
            pid: program.pid, images: "\(directory)/read", ["--tracker", "none"])
          #expect(read.end == .exited(0), "\(read.errors)")
          let end = try await core.end()
          #expect(end.isWhole, "\(end.size) bytes")
        }
      }
    }
  }

  @Test func `is left out of a tree that is stopped`() async throws {
    try await withTemporaryDirectory { directory in
      try await KernelCore.take { core in
        let program = try Command.builtPath("core-target")
        var command = try Command(
          installed: "sh", ["-c", "echo | \(program) crash 3 & echo $!; exec sleep 1000"])
        command.output = .lines
        try await withProgram(command) { root in
          let child = try #require(Int32(try await root.nextLine()))
          try await KernelCore.begins(of: child)
          let result = try await SluiceCommandLine.preDump(
            pid: root.pid, images: directory, ["--rounds", "1", "--final", "--json"])
          #expect(result.end == .exited(0), "\(result.errors)")
          #expect(result.output.contains("process \(child) is dumping core"), "\(result.output)")
          let end = try await core.end()
          #expect(end.isWhole, "\(end.size) bytes")
        }
      }
    }
  }
}
