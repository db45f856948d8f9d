import Foundation

/// Runs a program that the tests need.
enum Command {
  struct Failed: Error, CustomStringConvertible {
    let description: String
  }

  /// What it writes to its standard output. It must be there, and end well.
  @discardableResult
  static func run(_ program: String, _ arguments: String...) throws -> [UInt8] {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [program] + arguments
    process.standardOutput = output
    try process.run()
    let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failed(
        description: "\(program) \(arguments.joined(separator: " ")) ended with \(process.terminationStatus)"
          + (process.terminationStatus == 127 ? ": it is not installed" : ""))
    }
    return [UInt8](bytes)
  }
}
