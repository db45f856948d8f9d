/// A number with the word for what is counted.
enum Counted {
  /// - Parameters:
  ///   - singular: the word for one.
  ///   - plural: the word for several; nil where that is the word for one with an "s".
  static func text(
    _ number: some BinaryInteger, _ singular: String, _ plural: String? = nil
  ) -> String {
    "\(number) \(number == 1 ? singular : plural ?? singular + "s")"
  }

  /// Pages.
  static func pages(_ number: UInt64) -> String { text(number, "page") }
}
