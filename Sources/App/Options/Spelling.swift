/// Finds the word that was meant by one that was mistyped.
enum Spelling {
  /// - Returns: the word that is written most like it; nil where none is like it.
  static func nearest(to word: String, among words: [String]) -> String? {
    let plain = letters(of: word)
    guard !plain.isEmpty else { return nil }
    let candidates = words.map { (word: $0, distance: distance(plain, letters(of: $0))) }
    guard let best = candidates.min(by: { $0.distance < $1.distance }) else { return nil }
    // A third of the letters may be wrong; beyond that it is another word.
    return best.distance <= max(1, plain.count / 3) ? best.word : nil
  }

  /// Hyphens are what is forgotten first.
  private static func letters(of word: String) -> [Character] {
    word.lowercased().filter { $0 != "-" && $0 != "_" }
  }

  /// How many letters are to be put in, taken out, replaced, or swapped with their neighbours.
  static func distance(_ first: [Character], _ second: [Character]) -> Int {
    // The rows of the table for the letter before the last one, for the last one, and for this one.
    var (older, old) = ([Int](), Array(0...second.count))
    for (row, letter) in first.enumerated() {
      var new = [row + 1]
      for (column, other) in second.enumerated() {
        var steps = min(new[column] + 1, old[column + 1] + 1, old[column] + (letter == other ? 0 : 1))
        if row > 0, column > 0, letter == second[column - 1], first[row - 1] == other {
          steps = min(steps, older[column - 1] + 1)
        }
        new.append(steps)
      }
      (older, old) = (old, new)
    }
    return old[second.count]
  }
}
