/// The command `sluice`, as it was built with the tests.
public enum SluiceCommandLine {
  /// Runs it to its end.
  public static func run(_ arguments: [String]) async throws -> CommandResult {
    try await Command(built: "sluice", arguments).run()
  }

  /// Runs `sluice pre-dump` to its end.
  public static func preDump(
    pid: Int32, images: String, _ options: [String] = []
  ) async throws -> CommandResult {
    try await run(["pre-dump", "-t", "\(pid)", "-D", images] + options)
  }
}
