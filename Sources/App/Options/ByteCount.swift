import ArgumentParser

/// A number of bytes as people write it: 64M, 64Mi, 64MiB, 1.5G, 1048576. The units are powers of 1024.
struct ByteCount: ExpressibleByArgument, Hashable {
  let bytes: Int

  init(bytes: Int) {
    self.bytes = bytes
  }

  /// More digits behind the point mean nothing, and would not fit.
  private static let mostDecimals = 6

  init?(argument: String) {
    let whole = argument.prefix(while: Self.isDigit)
    var rest = argument.dropFirst(whole.count)
    var decimals: Substring?
    if rest.first == "." {
      let digits = rest.dropFirst().prefix(while: Self.isDigit)
      decimals = digits
      rest = rest.dropFirst(1 + digits.count)
    }
    guard let number = Int(whole), let shift = Self.shift(of: rest) else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow else { return nil }
    guard let decimals else {
      self.bytes = bytes
      return
    }
    // There is no part of a byte.
    guard shift > 0, decimals.count <= Self.mostDecimals, let part = Int(decimals) else { return nil }
    let parts = (0..<decimals.count).reduce(1) { parts, _ in parts * 10 }
    let (sum, isTooMuch) = bytes.addingReportingOverflow((part << shift) / parts)
    guard !isTooMuch else { return nil }
    self.bytes = sum
  }

  private static func isDigit(_ character: Character) -> Bool { character.isASCII && character.isNumber }

  private static func shift(of unit: Substring) -> Int? {
    switch unit.uppercased() {
    case "", "B": 0
    case "K", "KB", "KI", "KIB": 10
    case "M", "MB", "MI", "MIB": 20
    case "G", "GB", "GI", "GIB": 30
    case "T", "TB", "TI", "TIB": 40
    default: nil
    }
  }

  var defaultValueDescription: String { Self.text(bytes) }

  /// The number in the largest unit in which it is at least 1, with one decimal.
  static func text(_ bytes: Int) -> String {
    var unit = 0
    var scaled = Double(bytes)
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    // By what will be written: 1023.96 KiB is 1.0 MiB, not 1024.0 KiB.
    while (scaled * 10).rounded() >= 10240, unit < units.count - 1 {
      scaled /= 1024
      unit += 1
    }
    if unit == 0 || scaled == scaled.rounded() { return "\(Int(scaled)) \(units[unit])" }
    let tenths = Int((scaled * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
  }
}
