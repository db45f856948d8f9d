/// Text whose lines are no wider than a terminal.
enum LineWrap {
  /// In less there is no room for words.
  private static let narrowest = 20

  /// Breaks lines between words. A word that is wider than the terminal, such as a path, stays whole.
  ///
  /// - Parameters:
  ///   - width: the columns of the terminal.
  ///   - hanging: how far the rest of a broken line is indented; nil for two columns more than its beginning.
  static func wrap(_ text: String, width: Int, hanging: Int? = nil) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { wrapLine($0, width: width, hanging: hanging) }.joined(separator: "\n")
  }

  private static func wrapLine(_ line: Substring, width: Int, hanging: Int?) -> String {
    guard width >= narrowest, line.count > width else { return String(line) }
    let indent = min(hanging ?? line.prefix { $0 == " " }.count + 2, width / 2)
    var rows: [String] = []
    var (rest, start) = (line, "")
    while start.count + rest.count > width {
      let room = rest.index(rest.startIndex, offsetBy: width - start.count)
      // What a row begins with is its indentation, and no place to break it.
      let words = rest.firstIndex { $0 != " " } ?? rest.endIndex
      let fitting = rest[..<rest.index(after: room == rest.endIndex ? rest.index(before: room) : room)]
      guard
        let end = fitting.lastIndex(of: " ").flatMap({ $0 > words ? $0 : nil })
          ?? rest[words...].firstIndex(of: " ")
      else { break }
      rows.append(start + trimmed(rest[..<end]))
      rest = rest[end...].drop { $0 == " " }
      start = String(repeating: " ", count: indent)
      guard !rest.isEmpty else { return rows.joined(separator: "\n") }
    }
    return (rows + [start + rest]).joined(separator: "\n")
  }

  private static func trimmed(_ row: Substring) -> Substring {
    var row = row
    while row.last == " " { row = row.dropLast() }
    return row
  }
}
