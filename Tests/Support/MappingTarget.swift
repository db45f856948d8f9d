/// A process that changes its memory as it is told: Tests/Programs/mapping-target.
public struct MappingTarget: Sendable {
  /// The process.
  public let program: Program

  /// Its pid.
  public var pid: Int32 { program.pid }

  /// Runs it until `body` has ended.
  ///
  /// - Parameter hasFixedAddresses: it has the same addresses whenever it is executed.
  public static func run<Result>(
    hasFixedAddresses: Bool = false, _ body: (MappingTarget) async throws -> Result
  ) async throws -> Result {
    var command = try Command(built: "mapping-target", [])
    if hasFixedAddresses {
      command = try Command(installed: "setarch", ["--addr-no-randomize", command.path])
    }
    command.hasInput = true
    command.output = .lines
    return try await withProgram(command) { program in
      let target = MappingTarget(program: program)
      _ = try await target.answer()
      return try await body(target)
    }
  }

  /// Gives it a command and waits for the answer.
  ///
  /// - Returns: the number in the answer; 0 when there is none.
  @discardableResult
  public func tell(_ command: String) async throws -> UInt64 {
    try program.write(line: command)
    return try await answer()
  }

  /// Populated private memory.
  public func map(pages: Int) async throws -> UInt64 {
    try await tell("map \(pages)")
  }

  /// Ends it, and waits until it has.
  public func exit() async throws {
    try program.write(line: "exit 0")
    _ = try await program.result()
  }

  private func answer() async throws -> UInt64 {
    let line = try await program.nextLine()
    let words = line.split(separator: " ")
    guard words.first == "ok" else { throw TestFailure("mapping-target: \(line)") }
    guard words.count > 1 else { return 0 }
    let number = words[1].hasPrefix("0x") ? UInt64(words[1].dropFirst(2), radix: 16) : UInt64(words[1])
    guard let number else { throw TestFailure("mapping-target: \(line)") }
    return number
  }
}

/// An address as the commands want it.
public func hexadecimal(_ address: UInt64) -> String {
  "0x" + String(address, radix: 16)
}
