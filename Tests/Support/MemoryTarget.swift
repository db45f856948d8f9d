import Foundation

/// A process that checks its own memory: Tests/Programs/memory-target.
public struct MemoryTarget: Sendable {
  /// The process.
  public let program: Program

  /// Its pid.
  public var pid: Int32 { program.pid }

  /// Runs it until `body` has ended.
  ///
  /// - Parameter options: as its --help tells them.
  public static func run<Result>(
    _ options: [String], _ body: (MemoryTarget) async throws -> Result
  ) async throws -> Result {
    try await withTemporaryDirectory { directory in
      // A last resort: should the tests be killed, it ends by itself.
      var arguments = ["--seconds", "600"] + options
      if options.contains("--odd") { arguments += ["--odd-file", "\(directory)/odd"] }
      var command = try Command(built: "memory-target", arguments)
      command.output = .lines
      return try await withProgram(command) { program in
        let line = try await program.nextLine()
        guard line.hasPrefix("ready ") else { throw TestFailure("memory-target: \(line)") }
        return try await body(MemoryTarget(program: program))
      }
    }
  }

  /// Has it check all of its memory.
  ///
  /// - Throws: `TestFailure` with what is wrong with it.
  public func check() async throws {
    program.send(SIGUSR1)
    while true {
      let line = try await program.nextLine()
      if line.hasPrefix("check ok") { return }
      if line.hasPrefix("check") { throw TestFailure("the target was harmed: \(line)") }
    }
  }
}
