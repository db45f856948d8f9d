import Foundation

/// A process that the kernel writes a core of, for as long as the test wants: the program that takes the core reads its
/// beginning, and the rest when it is told.
public struct KernelCore: Sendable {
  private static let pattern = "/proc/sys/kernel/core_pattern"

  private let directory: String

  /// Whether this machine lets us say what takes the cores: it takes root, and a kernel that finds our programs.
  public static var isPossible: Bool { geteuid() == 0 && FileManager.default.isWritableFile(atPath: pattern) }

  /// Runs `body` while cores go to our program. Those of other processes that crash meanwhile do so, too.
  public static func take<Result>(_ body: (KernelCore) async throws -> Result) async throws -> Result {
    try await withTemporaryDirectory { directory in
      // The kernel takes no longer pattern than 127 bytes.
      try FileManager.default.createSymbolicLink(
        atPath: "\(directory)/c", withDestinationPath: try Command.builtPath("core-target"))
      let before = try String(contentsOfFile: pattern, encoding: .utf8)
      try "|\(directory)/c take \(directory)".write(toFile: pattern, atomically: false, encoding: .utf8)
      defer { try? before.write(toFile: pattern, atomically: false, encoding: .utf8) }
      return try await body(KernelCore(directory: directory))
    }
  }

  /// Starts the process that crashes when it is sent a line, with so many threads.
  public static func command(threads: Int) throws -> Command {
    var command = try Command(built: "core-target", ["crash", "\(threads)"])
    command.hasInput = true
    command.output = .lines
    return command
  }

  /// Waits until the kernel writes the core of a process.
  public static func begins(of pid: Int32) async throws {
    try await eventually("a core of \(pid) is written") {
      try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8).contains("CoreDumping:\t1\n")
    }
  }

  /// Has the rest of the core taken.
  ///
  /// - Returns: whether all of it came, with how much that was.
  public func end() async throws -> (isWhole: Bool, size: String) {
    try Data().write(to: URL(fileURLWithPath: "\(directory)/go"))
    let path = "\(directory)/size"
    try await eventually("the core was taken") { FileManager.default.fileExists(atPath: path) }
    let size = try String(contentsOfFile: path, encoding: .utf8)
    let numbers = size.components(separatedBy: " of ")
    return (numbers.count == 2 && numbers[0] == numbers[1], size)
  }
}
