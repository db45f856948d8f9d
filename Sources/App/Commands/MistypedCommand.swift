import ArgumentParser

/// What is wrong with the name of a command, and which one was meant.
enum MistypedCommand {
  /// What CRIU does and Sluice leaves to it.
  private static let ofCriu: Set = ["dump", "restore", "lazy-pages", "exec", "service", "cpuinfo"]
  /// The options that stand without a command.
  private static let ofNone = [
    "--help", "-help", "-h", "--version", "--generate-completion-script", "--experimental-",
  ]

  /// - Parameters:
  ///   - arguments: those behind the program's name.
  ///   - commands: those that there are.
  /// - Returns: nil where a command is named, or none has to be.
  static func problem(_ arguments: [String], commands: [String]) -> String? {
    guard let first = arguments.first else { return nil }
    if first == "help" { return problem(Array(arguments.dropFirst()), commands: commands) }
    if first.hasPrefix("-") {
      guard !ofNone.contains(where: { first.hasPrefix($0) }) else { return nil }
      return "'\(first)' comes before any command: name the command first, such as 'sluice pre-dump \(first)'"
    }
    guard !commands.contains(first) else { return nil }
    if ofCriu.contains(first) {
      return "there is no command '\(first)': that is 'criu \(first)'"
    }
    if let meant = Spelling.nearest(to: first, among: commands + ["help"]) {
      return "there is no command '\(first)': did you mean '\(meant)'?"
    }
    return "there is no command '\(first)': the commands are \(commands.joined(separator: ", "))"
  }
}
