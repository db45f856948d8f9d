/// A time as people read it: in the unit in which it has no more than four digits.
enum Elapsed {
  /// - Parameter duration: not negative.
  static func text(_ duration: Duration) -> String {
    let microsecond = Duration.microseconds(1)
    if duration < .milliseconds(1) { return "\(Int(duration / microsecond)) µs" }
    if duration < .seconds(1) { return "\(Int(duration / microsecond) / 1000) ms" }
    let (seconds, attoseconds) = duration.components
    let hundredths = attoseconds / 10_000_000_000_000_000
    return "\(seconds).\(hundredths < 10 ? "0" : "")\(hundredths) s"
  }
}
