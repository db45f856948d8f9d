/// A time as people read it: in the unit in which it has no more than four digits.
enum Elapsed {
  static func text(microseconds: UInt64) -> String {
    if microseconds < 1000 { return "\(microseconds) µs" }
    if microseconds < 1_000_000 { return "\(microseconds / 1000) ms" }
    let hundredths = microseconds / 10_000
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) s"
  }

  /// - Parameter seconds: not negative.
  static func text(seconds: Double) -> String {
    text(microseconds: UInt64(min(seconds * 1_000_000, Double(UInt64.max / 2))))
  }
}
