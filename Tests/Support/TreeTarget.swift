import Foundation

/// A shell that has processes with memory of their own below it: memory-target, several times.
public struct TreeTarget: Sendable {
  /// The shell.
  public let program: Program
  /// The processes below it.
  public let children: [Int32]

  /// Its pid.
  public var pid: Int32 { program.pid }

  /// Runs it until `body` has ended; then it ends with all that is below it.
  ///
  /// - Parameter options: of each memory-target.
  public static func run<Result>(
    _ options: [[String]], _ body: (TreeTarget) async throws -> Result
  ) async throws -> Result {
    let program = try Command(built: "memory-target", []).path
    let commands = options.map { "\(program) --seconds 600 \($0.joined(separator: " ")) &" }
    // When its standard input ends, so do they.
    let script = commands.joined(separator: "\n") + "\nread line; kill -9 $(jobs -p) 2>/dev/null; wait"
    var command = try Command(installed: "bash", ["-c", script])
    command.hasInput = true
    command.output = .lines
    return try await withProgram(command) { program in
      var children: [Int32] = []
      while children.count < options.count {
        let line = try await program.nextLine()
        guard let pid = Int32(line.dropFirst("ready pid=".count)) else {
          throw TestFailure("memory-target: \(line)")
        }
        children.append(pid)
      }
      try await untilStartIsPast()
      let target = TreeTarget(program: program, children: children)
      let outcome: Swift.Result<Result, any Error>
      do { outcome = .success(try await body(target)) } catch { outcome = .failure(error) }
      for child in children { kill(child, SIGCONT) }
      try program.write(line: "end")
      _ = try await program.result()
      return try outcome.get()
    }
  }
}
