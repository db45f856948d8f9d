/// Says in Sluice's words what the parser of arguments finds wrong.
enum UsageMessage {
  /// - Parameters:
  ///   - message: the parser's.
  ///   - arguments: those behind the program's name.
  static func text(_ message: String, _ arguments: [String]) -> String {
    if message.hasPrefix("Missing expected argument '--tree <pid>'") { return missingProcess(arguments) }
    if let name = quoted(in: message, after: "Missing expected argument ") { return "\(name) is missing" }
    if message.contains("is invalid for") {
      if message.contains("<size>'") {
        return message + ": a size is a number with a unit of 1024, such as 16M, 16Mi or 1.5G"
      }
      if message.contains("<pid>'") { return message + ": a pid is a number, such as 4711" }
      return choices(message)
    }
    // A message has one line.
    return message.split(separator: "\n").joined(separator: " ")
  }

  private static func missingProcess(_ arguments: [String]) -> String {
    for (position, argument) in arguments.enumerated().dropFirst() {
      if ["-p", "--pid"].contains(argument) || argument.hasPrefix("--pid=") {
        return
          "there is no option \(argument.prefix { $0 != "=" }): name the process by -t, such as '-t 4711'"
      }
      if let pid = Int32(argument), pid > 0, !arguments[position - 1].hasPrefix("-") {
        return "the process is named by -t: write '-t \(pid)'"
      }
    }
    return "-t is missing, which names the process, such as '-t 4711'"
  }

  private static func quoted(in message: String, after words: String) -> String? {
    guard message.hasPrefix(words + "'") else { return nil }
    let rest = message.dropFirst(words.count + 1)
    guard let end = rest.lastIndex(of: "'") else { return nil }
    return String(rest[..<end])
  }

  /// "The value 'x' is invalid for '--tracker <tracker>'. Please provide one of the following:", and a line for each, or
  /// "Please provide one of 'a', 'b' or 'c'."
  private static func choices(_ message: String) -> String {
    let lines = message.split(separator: "\n").map { $0.drop { $0 == " " } }
    guard let first = lines.first else { return message }
    let head = first.firstRange(of: ". Please provide one of").map { first[..<$0.lowerBound] } ?? first
    var values = lines.dropFirst().filter { $0.hasPrefix("- ") }.map { String($0.dropFirst(2)) }
    if values.isEmpty {
      let parts = first.split(separator: "'", omittingEmptySubsequences: false).map(String.init)
      // The first two words in quotes are the value and the option.
      values = parts.indices.filter { $0 > 4 && !$0.isMultiple(of: 2) }.map { parts[$0] }
    }
    guard !values.isEmpty else { return message.split(separator: "\n").joined(separator: " ") }
    let given = first.split(separator: "'", omittingEmptySubsequences: false).dropFirst().first.map(
      String.init)
    let meant = given.flatMap { Spelling.nearest(to: $0, among: values) }
    return "\(head): it is one of \(values.joined(separator: ", "))"
      + (meant.map { "; did you mean '\($0)'?" } ?? "")
  }
}
