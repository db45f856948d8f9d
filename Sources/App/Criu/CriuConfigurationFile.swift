import Glibc

/// A configuration file of CRIU's: an option a line, without dashes, and its value; "#" begins a comment.
struct CriuConfigurationFile {
  /// A line that is not in that form.
  struct Malformed: Error {
    let line: String
  }

  /// The options, as arguments.
  private(set) var arguments: [String] = []

  init(text: String) throws(Malformed) {
    for line in text.split(separator: "\n") {
      guard let option = Self.option(in: line) else { throw Malformed(line: String(line)) }
      arguments += option
    }
  }

  /// The option in a line, as one argument or two; none in a comment, and nil where it cannot be understood.
  private static func option(in line: Substring) -> [String]? {
    var rest = line
    guard let name = word(&rest), !name.hasPrefix("#") else { return [] }
    // A value may be attached.
    if name.contains("=") { return isEnd(rest) ? ["--\(name)"] : nil }
    guard let value = word(&rest), !value.hasPrefix("#") else { return ["--\(name)"] }
    guard isEnd(rest) else { return nil }
    return ["--\(name)", value]
  }

  /// The next word, which may be in double quotes with spaces in it.
  private static func word(_ rest: inout Substring) -> String? {
    rest = rest.drop(while: \.isBlank)
    guard let first = rest.first else { return nil }
    guard first == "\"" else {
      let word = first == "#" ? rest : rest.prefix { !$0.isBlank && $0 != "#" }
      rest = rest.dropFirst(word.count)
      return String(word)
    }
    var (word, isEscaped) = ("", false)
    rest = rest.dropFirst()
    while let next = rest.popFirst() {
      if next == "\"", !isEscaped { return word }
      isEscaped = next == "\\" && !isEscaped
      if !isEscaped { word.append(next) }
    }
    return word
  }

  private static func isEnd(_ rest: Substring) -> Bool {
    let rest = rest.drop(while: \.isBlank)
    return rest.isEmpty || rest.hasPrefix("#")
  }
}

extension Character {
  fileprivate var isBlank: Bool { self == " " || self == "\t" }
}

extension CriuConfigurationFile {
  /// More than any such file has.
  private static let longest = 1 << 20

  /// The text of a file, which may be a device or a pipe; nil where it cannot be read, or is too long.
  static func read(_ path: String) -> String? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 4 << 10)
    while true {
      let count = unsafe Glibc.read(file, &part, part.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0, bytes.count + count <= longest else { return nil }
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += part[..<count]
    }
  }
}
