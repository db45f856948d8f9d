import Foundation

/// A program to be started, with everything that it is started with.
public struct Command: Sendable {
  /// What becomes of standard output.
  public enum Output: Hashable, Sendable {
    /// It is kept until the program has ended.
    case kept
    /// It is read line by line while the program runs.
    case lines
    /// It goes to this file.
    case file(String)
    /// The program is started without a standard output.
    case closed
  }

  /// The file to execute.
  public var path: String
  /// What follows the program's name.
  public var arguments: [String]
  /// Whether standard input is a pipe, of which the test has the other end; else it is empty.
  public var hasInput = false
  /// Whether descriptor 3 is a socket of packets, of which the test has the other end.
  public var hasSocket = false
  /// Descriptors of the test's that the program has, too, by these numbers, from 3 up.
  public var inherited: [Int32: Int32] = [:]
  /// Variables beside those of the test's own environment, or instead of them.
  public var environment: [String: String] = [:]
  /// What becomes of standard output.
  public var output = Output.kept

  /// A program and its arguments.
  public init(_ path: String, _ arguments: [String]) {
    self.path = path
    self.arguments = arguments
  }

  /// A program of this package, as it was built with the tests.
  ///
  /// - Throws: `TestFailure` when it was not built.
  public init(built name: String, _ arguments: [String]) throws {
    self.init(try Self.builtPath(name), arguments)
  }

  /// A program of this machine, to be found in the usual places.
  ///
  /// - Throws: `TestFailure` when it is not installed.
  public init(installed name: String, _ arguments: [String]) throws {
    let places = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    let found = places.map { "\($0)/\(name)" }.first(where: FileManager.default.isExecutableFile(atPath:))
    guard let found else { throw TestFailure("\(name) is not installed, and this test needs it") }
    self.init(found, arguments)
  }

  /// Where a program of this package is: beside the program that the tests run in, or in SLUICE_TEST_PROGRAMS. There
  /// scripts/sanitize has those that are copied: built for a sanitizer they have terabytes of memory of its own.
  ///
  /// - Throws: `TestFailure` when it was not built.
  public static func builtPath(_ name: String) throws -> String {
    if let directory = ProcessInfo.processInfo.environment["SLUICE_TEST_PROGRAMS"] {
      let path = "\(directory)/\(name)"
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let path = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent(name).path
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw TestFailure("\(path) was not built: 'swift build --build-tests' does that")
    }
    return path
  }

  /// Runs the program to its end.
  ///
  /// - Throws: `TestFailure` when it cannot be started or does not end.
  public func run() async throws -> CommandResult {
    try await withProgram(self) { program in
      try await program.result()
    }
  }
}

/// What came of a program.
public struct CommandResult: Sendable {
  /// How it ended.
  public let end: ProgramEnd
  /// What it wrote to standard output, when that was kept.
  public let output: String
  /// What it wrote to standard error.
  public let errors: String

  /// The lines of standard error.
  public var errorLines: [String] {
    errors.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).dropLast(
      errors.hasSuffix("\n") ? 1 : 0)
  }
}

/// How a program ended.
public enum ProgramEnd: Hashable, Sendable {
  /// By itself, with this code.
  case exited(Int32)
  /// By this signal.
  case killed(Int32)
}
