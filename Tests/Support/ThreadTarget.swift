import Foundation

/// A process with threads that never rest: Tests/Programs/thread-target.
public struct ThreadTarget: Sendable {
  /// The process.
  public let program: Program
  private let counters: UInt64

  /// Its pid.
  public var pid: Int32 { program.pid }

  /// Runs it until `body` has ended.
  ///
  /// - Parameter options: as its source tells them.
  public static func run<Result>(
    _ options: [String], _ body: (ThreadTarget) async throws -> Result
  ) async throws -> Result {
    var command = try Command(built: "thread-target", options)
    command.output = .lines
    return try await withProgram(command) { program in
      let line = try await program.nextLine()
      guard line.hasPrefix("ready 0x"), let counters = UInt64(line.dropFirst("ready 0x".count), radix: 16)
      else { throw TestFailure("thread-target: \(line)") }
      try await untilStartIsPast()
      return try await body(ThreadTarget(program: program, counters: counters))
    }
  }

  /// How many SIGRTMIN it got.
  public func signals() throws -> UInt64 { try words(1)[0] }

  /// How many threads --breed has begun.
  public func births() throws -> UInt64 { try words(2)[1] }

  /// What the threads of --spin have counted.
  public func spins(_ count: Int) throws -> [UInt64] { Array(try words(2 + count)[2...]) }

  /// Waits until every thread of --spin has counted on.
  public func untilAllSpin(_ count: Int) async throws {
    let before = try spins(count)
    try await eventually("all threads run") { zip(before, try spins(count)).allSatisfy { $0 < $1 } }
  }

  private func words(_ count: Int) throws -> [UInt64] {
    try ProcessMemory.words(of: pid, at: counters, count: count)
  }

  /// The threads that there are, with their states as /proc tells them: "t" for one that a tracer holds, "T" for
  /// job control.
  public func threads() throws -> [(id: Int32, state: Character)] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").compactMap { name in
      // One that has ended meanwhile has no state.
      guard let text = try? String(contentsOfFile: "/proc/\(pid)/task/\(name)/stat", encoding: .utf8),
        let id = Int32(name), let nameEnd = text.lastIndex(of: ")")
      else { return nil }
      return (id, text[text.index(nameEnd, offsetBy: 2)])
    }
  }
}
