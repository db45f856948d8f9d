import Foundation

/// A process that changes its memory as it is told: Tests/Programs/mapping-target.
public struct MappingTarget: Sendable {
  /// The process.
  public let program: Program

  /// Its pid.
  public var pid: Int32 { program.pid }

  /// Runs it until `body` has ended.
  ///
  /// - Parameters:
  ///   - hasFixedAddresses: it has the same addresses whenever it is executed.
  ///   - hasOwnFile: it is executed from a file that no other process has mapped.
  public static func run<Result>(
    hasFixedAddresses: Bool = false, hasOwnFile: Bool = false,
    _ body: (MappingTarget) async throws -> Result
  ) async throws -> Result {
    guard hasOwnFile else {
      return try await run(
        file: Command.builtPath("mapping-target"), hasFixedAddresses: hasFixedAddresses, body)
    }
    return try await withTemporaryDirectory { directory in
      let file = "\(directory)/mapping-target"
      // By another process: a descriptor of ours that writes the file would be inherited by programs that other tests
      // start at that moment, and as long as they have it, it cannot be executed (ETXTBSY).
      let copied = try await Command(installed: "cp", [Command.builtPath("mapping-target"), file]).run()
      guard copied.end == .exited(0) else { throw TestFailure("cp: \(copied.errors)") }
      return try await run(file: file, hasFixedAddresses: hasFixedAddresses, body)
    }
  }

  private static func run<Result>(
    file: String, hasFixedAddresses: Bool, _ body: (MappingTarget) async throws -> Result
  ) async throws -> Result {
    var command = Command(file, [])
    if hasFixedAddresses {
      command = try Command(installed: "setarch", ["--addr-no-randomize", command.path])
    }
    command.hasInput = true
    command.output = .lines
    return try await withProgram(command) { program in
      let target = MappingTarget(program: program)
      _ = try await target.answer()
      try await untilStartIsPast()
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

  /// The same for one who may block, such as a handler of faults.
  @discardableResult
  public func tellNow(_ command: String) throws -> UInt64 {
    try program.write(line: command)
    return try Self.number(in: try program.nextLineNow())
  }

  /// Waits until it waits for the next command: after its answer it still has something to do. Blocks.
  public func waitUntilIdle() throws {
    let deadline = ContinuousClock.now + longestWait
    while true {
      // Field 3, after the name in parentheses.
      let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
      if stat.split(separator: ")").last?.hasPrefix(" S ") == true { return }
      guard ContinuousClock.now < deadline else { throw TestFailure("mapping-target does not come to rest") }
      usleep(100)
    }
  }

  /// Populated private memory.
  public func map(pages: Int) async throws -> UInt64 {
    try await tell("map \(pages)")
  }

  /// Has the kernel put pages of it into swap, and waits until all are there.
  public func swapOut(_ start: UInt64, pages: Int) async throws {
    let end = start + UInt64(pages) * ProcessMemory.pageSize
    // MADV_PAGEOUT, again while there is a page that the kernel has not come to yet.
    while true {
      try await tell("advise \(hexadecimal(start)) \(pages) 21")
      let entries = try ProcessMemory.pagemapEntries(of: pid, from: start, to: end)
      if entries.allSatisfy({ $0 >> 62 & 1 == 1 }) { return }
      try await Task.sleep(for: .milliseconds(1))
    }
  }

  /// Ends it, and waits until it has.
  public func exit() async throws {
    try program.write(line: "exit 0")
    _ = try await program.result()
  }

  private func answer() async throws -> UInt64 {
    try Self.number(in: try await program.nextLine())
  }

  private static func number(in line: String) throws -> UInt64 {
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
