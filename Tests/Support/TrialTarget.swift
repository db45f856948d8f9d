import Foundation

/// A process that goes through a trial, and tells whether anything happened to it that should not have:
/// Tests/Programs/trial-target.
public struct TrialTarget: Sendable {
  /// The process that goes through it.
  public let pid: Int32
  /// Its keeper, which speaks for it.
  private let keeper: Program

  /// Runs it until `body` has ended.
  ///
  /// - Parameter arguments: the trial and its options, as its source tells them.
  public static func run<Result>(
    _ arguments: [String], _ body: (TrialTarget) async throws -> Result
  ) async throws -> Result {
    var command = try Command(built: "trial-target", arguments)
    command.hasInput = true
    command.output = .lines
    return try await withProgram(command) { keeper in
      let line = try await keeper.nextLine()
      guard line.hasPrefix("ready pid="),
        let pid = Int32(line.dropFirst("ready pid=".count).prefix { $0.isNumber })
      else { throw TestFailure("trial-target: \(line)") }
      try await untilStartIsPast()
      return try await body(TrialTarget(pid: pid, keeper: keeper))
    }
  }

  /// Has it look through all its memory.
  ///
  /// - Returns: its answer, which begins with "ok" where nothing has happened to it.
  public func check() async throws -> String {
    try keeper.write(line: "check")
    return try await keeper.nextLine()
  }
}
