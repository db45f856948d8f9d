import Foundation
import Glibc
public import Testing

/// A filesystem that is as bad as it is told to be: Tests/Programs/slow-disk.
///
/// Nobody but the program under test may look into it while it hangs: whoever does hangs, too.
public struct SlowDisk: Sendable {
  /// What can be asked of it.
  public enum Request: String, Sendable {
    case lookup, create, open, read, write, flush, fsync, allocate, truncate, rename, unlink
  }

  /// Where it is mounted.
  public let path: String
  private let program: Program

  /// Whether there can be one here.
  public static var isPossible: Bool {
    guard geteuid() == 0 else { return false }
    // A container may have the file, and not let it be opened.
    let device = unsafe Glibc.open("/dev/fuse", O_RDWR | O_CLOEXEC)
    guard device >= 0 else { return false }
    close(device)
    return true
  }

  /// Runs `body` with one.
  public static func run<Result>(_ body: (SlowDisk) async throws -> Result) async throws -> Result {
    try await withTemporaryDirectory { directory in
      var command = try Command(built: "slow-disk", [directory])
      (command.output, command.hasInput) = (.lines, true)
      return try await withProgram(command) { program in
        // Without its program all that hangs fails, but the place stays taken.
        defer { unsafe umount2(directory, Int32(MNT_DETACH)) }
        let line = try await program.nextLine()
        guard line == "ready" else { throw TestFailure("slow-disk: \(line)") }
        return try await body(SlowDisk(path: directory, program: program))
      }
    }
  }

  /// Runs `body` with a program that works on the disk.
  public func with(_ command: Command, _ body: (Program) async throws -> Void) async throws {
    try await withProgram(command) { user in
      do {
        try await body(user)
      } catch {
        // Who hangs in it could not be waited for.
        program.send(SIGKILL)
        throw error
      }
    }
  }

  /// From now on requests of a kind are not answered.
  ///
  /// - Parameter name: how the names of the files begin that this is for.
  public func hang(_ request: Request, of name: String = "") async throws {
    try await tell("hang \(request) \(name)")
  }

  /// From now on they fail, with an error such as "ENOSPC".
  public func fail(_ request: Request, _ error: String, of name: String = "") async throws {
    try await tell("fail \(request) \(error) \(name)")
  }

  /// They are answered again, and those that hang are, too.
  public func pass(_ request: Request) async throws { try await tell("pass \(request)") }

  private func tell(_ line: String) async throws {
    try program.write(line: line)
    // One that began to hang just before says so first.
    while try await program.nextLine() != "ok" {}
  }

  /// Waits until a request of a kind hangs, for the first time since it was told to.
  public func untilHanging(_ request: Request) async throws {
    let line = try await program.nextLine()
    guard line == "hanging \(request)" else { throw TestFailure("slow-disk: \(line)") }
  }
}

extension Trait where Self == ConditionTrait {
  /// For tests with a filesystem of our own.
  public static var needsSlowDisk: Self {
    .enabled(if: SlowDisk.isPossible, "only root can mount a filesystem of its own, through /dev/fuse")
  }
}
