import Foundation

/// A process that checks its own memory: Tests/Programs/memory-target.
public struct MemoryTarget: Sendable {
  /// The process.
  public let program: Program

  /// The line by which it told that it was ready.
  private let readiness: String

  /// Its pid.
  public var pid: Int32 { program.pid }

  /// A range of addresses that it told when it was ready, such as "churn"; nil where it told none.
  public func range(_ name: String) -> Range<UInt64>? {
    let word = readiness.split(separator: " ").first { $0.hasPrefix("\(name)=") }
    let bounds = word?.dropFirst(name.count + 1).split(separator: "-")
      .compactMap { UInt64($0.dropFirst(2), radix: 16) }
    guard let bounds, bounds.count == 2 else { return nil }
    return bounds[0]..<bounds[1]
  }

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
        try await untilStartIsPast()
        return try await body(MemoryTarget(program: program, readiness: line))
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
