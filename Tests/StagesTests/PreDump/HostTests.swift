import Foundation
import SluiceTestSupport
import Testing

/// Programs that embed the library do all kinds of things to themselves: each sees a complete, right copy, or one clear
/// error.
@Suite(.timeLimit(.minutes(15))) struct HostTests {
  /// Copies a target in one of the modes of Tests/Programs/host, and compares what it says is complete.
  ///
  /// - Parameters:
  ///   - prefix: a program that starts it, and its arguments.
  ///   - body: is given the lines that it has printed.
  private func lines(
    _ mode: String, before prefix: [String] = [], _ body: ([String]) throws -> Void
  ) async throws {
    try await MemoryTarget.run(["--size", "8M", "--write-rate", "2000"]) { target in
      try await withTemporaryDirectory { directory in
        // Whoever it is that copies.
        unsafe chmod(directory, 0o777)
        let words = prefix + [try Command.builtPath("host"), mode, "\(target.pid)", directory]
        let result = try await Command(words[0], Array(words.dropFirst())).run()
        #expect(result.end == .exited(0), "\(result.output)\(result.errors)")
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(lines.last == "end", "\(result.output)\(result.errors)")
        for line in lines where line.hasPrefix("complete ") {
          let comparison = try await ImageComparison.run(
            pid: target.pid, images: String(line.dropFirst("complete ".count)))
          #expect(comparison.isEqual, "\(comparison)")
        }
        target.program.send(SIGCONT)
        try await target.check()
        try body(lines)
      }
    }
  }

  @Test(arguments: ["plain", "forks", "ignores-children", "blocks-signals"])
  func `the copy is whole in a program that does this`(mode: String) async throws {
    try await lines(mode) { lines in
      #expect(lines.count == 2 && lines[0].hasPrefix("complete "), "\(lines)")
    }
  }

  @Test func `a program that waits for any child sees its own alone`() async throws {
    try await lines("reaps") { lines in
      #expect(lines.count == 3 && lines[0].hasPrefix("complete ") && lines[1] == "strangers 0", "\(lines)")
    }
  }

  /// Neither a socket nor a pipe whose other end is closed ends the program.
  @Test(arguments: ["pipe-default", "pipe-ignored"])
  func `whoever takes nothing any more is an error`(mode: String) async throws {
    try await lines(mode) { lines in
      #expect(lines.count == 4, "\(lines)")
      #expect(lines.prefix(2).allSatisfy { $0.hasPrefix("failed io ") }, "\(lines)")
      #expect(lines.dropFirst(2).first?.hasPrefix("complete ") == true, "\(lines)")
    }
  }

  /// With each further descriptor it comes a step further.
  @Test func `a program that may have few descriptors is told so`() async throws {
    try await lines("few-descriptors") { lines in
      let (failed, complete) = (lines.filter { $0.hasPrefix("failed ") }, lines.dropLast().last ?? "")
      #expect(failed.count >= 5 && complete.hasPrefix("complete "), "\(lines)")
      for line in failed { #expect(line.contains("EMFILE"), "\(line)") }
    }
  }

  @Test func `a program that may have little address space is told so`() async throws {
    try await lines("few-addresses") { lines in
      let (failed, complete) = (lines.filter { $0.hasPrefix("failed ") }, lines.dropLast().last ?? "")
      #expect(failed.count >= 1 && complete.hasPrefix("complete "), "\(lines)")
      for line in failed { #expect(line.contains("ENOMEM"), "\(line)") }
    }
  }

  /// Root's own threads are not counted: so another user with root's rights over processes and files.
  @Test(.needsRoot) func `a program that may have few threads is told so`() async throws {
    let rights = "+sys_ptrace,+kill,+dac_override,+dac_read_search,+chown,+fowner,+checkpoint_restore"
    let user = "61234"
    let prefix = [
      "/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps", rights,
      "--ambient-caps", rights,
    ]
    try await lines("few-threads", before: prefix) { lines in
      let (failed, complete) = (lines.filter { $0.hasPrefix("failed ") }, lines.dropLast().last ?? "")
      #expect(failed.count >= 5 && complete.hasPrefix("complete "), "\(lines)")
      for line in failed { #expect(line.contains("EAGAIN"), "\(line)") }
      #expect(failed.first?.contains("ulimit -u") == true, "\(lines)")
    }
  }

  /// As in a container, where the library's helpers, too, become children of the first process, which waits for all: a helper
  /// that did not end would keep it waiting.
  @Test(.needsRoot) func `the first process of a container copies another`() async throws {
    try await withTemporaryDirectory { directory in
      let (host, target) = (try Command.builtPath("host"), try Command.builtPath("memory-target"))
      let result = try await Command(
        installed: "unshare", ["--pid", "--fork", "--mount-proc", host, "first", target, directory]
      ).run()
      let lines = result.output.split(separator: "\n").map(String.init)
      #expect(result.end == .exited(0), "\(result.output)\(result.errors)")
      #expect(
        lines.count == 4 && lines[0] == "complete \(directory)/images/3" && lines[1] == "equal", "\(lines)")
    }
  }
}
