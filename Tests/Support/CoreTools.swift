import Foundation

/// The comparisons of cores that share no code with what writes them: Tests/Cores.
public enum CoreTools {
  private static var directory: String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Cores").path
  }

  /// Compares a core with the memory of the process that it is of, which is stopped, and with what the kernel would have
  /// dumped of it.
  ///
  /// - Throws: `TestFailure` with what is not as it should be.
  public static func compareWithMemory(_ core: String, pid: Int32) async throws {
    try await run(["\(directory)/core-memory", core, "\(pid)"])
  }

  /// Has gdb compare two cores of one process.
  ///
  /// - Throws: `TestFailure` with what is not the same.
  public static func compare(_ core: String, with other: String, of program: String) async throws {
    try await run(["\(directory)/compare-cores", program, core, other])
  }

  private static func run(_ arguments: [String]) async throws {
    let result = try await Command(installed: "env", ["python3"] + arguments).run()
    guard result.end == .exited(0) else {
      throw TestFailure("\(arguments[0]): \(result.output.suffix(4000))\(result.errors.suffix(1000))")
    }
  }
}
