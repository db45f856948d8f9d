/// A time as people read it: in the unit in which it has no more than four digits.
enum Elapsed {
  /// - Parameters:
  ///   - duration: not negative.
  ///   - isUTF8: whether there is a letter for "micro".
  static func text(_ duration: Duration, isUTF8: Bool = CharacterSet.isUTF8) -> String {
    let microsecond = Duration.microseconds(1)
    if duration < .milliseconds(1) { return "\(Int(duration / microsecond)) \(isUTF8 ? "µs" : "us")" }
    if duration < .seconds(1) { return "\(Int(duration / microsecond) / 1000) ms" }
    let (seconds, attoseconds) = duration.components
    let hundredths = attoseconds / 10_000_000_000_000_000
    return "\(seconds).\(hundredths < 10 ? "0" : "")\(hundredths) s"
  }
}
