import Foundation

/// Processes that share one memory, or a pid in pid namespaces of their own: Tests/Programs/relation-target.
public struct RelationTarget: Sendable {
  /// The program.
  public let program: Program
  /// The process to copy.
  public let tree: Int32
  /// The one that the memory or the name belongs to.
  public let owner: Int32
  /// The one that shares the memory; 0 where there is none.
  public let other: Int32

  /// What the processes are to each other.
  public enum Relation: String, Sendable, CaseIterable {
    /// The one that shares the memory is a child of its owner.
    case child
    /// It is a sibling.
    case sibling
    /// It was made by a process that has ended.
    case orphan
    /// It is not below the process to copy.
    case outside
    /// It is a child, and cannot be held: its main thread has ended.
    case headless
    /// They are the first ones of pid namespaces.
    case names
  }

  /// Runs it until `body` has ended.
  public static func run<Result>(
    _ relation: Relation, _ body: (RelationTarget) async throws -> Result
  ) async throws -> Result {
    var command = try Command(built: "relation-target", [relation.rawValue])
    command.output = .lines
    return try await withProgram(command) { program in
      let words = try await program.nextLine().split(separator: " ")
      let pids = words.compactMap { $0.split(separator: "=").last.flatMap { Int32($0) } }
      guard words.first == "ready", pids.count == 3 else { throw TestFailure("relation-target: \(words)") }
      try await untilStartIsPast()
      let target = RelationTarget(program: program, tree: pids[0], owner: pids[1], other: pids[2])
      // One that is left stopped does not see that the first one has ended.
      defer { for pid in [target.owner, target.other] where pid > 0 { kill(pid, SIGKILL) } }
      return try await body(target)
    }
  }

  /// Has `names` make another process that is the first one of a pid namespace, nearer to the top.
  ///
  /// - Returns: its pid.
  public func bear() async throws -> Int32 {
    program.send(SIGUSR1)
    let line = try await program.nextLine()
    guard let pid = Int32(line.dropFirst("born ".count)) else {
      throw TestFailure("relation-target: \(line)")
    }
    try await untilStartIsPast()
    return pid
  }

  /// Has the one that shares the memory execute another program.
  public func executeOther() async throws {
    kill(other, SIGUSR1)
    let path = "/proc/\(other)/comm"
    try await eventually("it executes another program") {
      try String(contentsOfFile: path, encoding: .utf8) == "sleep\n"
    }
  }

  /// Ends one of the processes.
  public func end(_ pid: Int32) async throws {
    kill(pid, SIGKILL)
    try await eventually("process \(pid) has ended") {
      !FileManager.default.fileExists(atPath: "/proc/\(pid)")
    }
  }
}
