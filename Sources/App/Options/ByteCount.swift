import ArgumentParser

/// A number of bytes as people write it: 64M, 64MiB, 1G, 1048576. The units are powers of 1024.
struct ByteCount: ExpressibleByArgument, Hashable {
  let bytes: Int

  init(bytes: Int) {
    self.bytes = bytes
  }

  init?(argument: String) {
    let digits = argument.prefix(while: { $0.isASCII && $0.isNumber })
    guard let number = Int(digits) else { return nil }
    let shift: Int
    switch argument.dropFirst(digits.count).uppercased() {
    case "", "B": shift = 0
    case "K", "KIB": shift = 10
    case "M", "MIB": shift = 20
    case "G", "GIB": shift = 30
    default: return nil
    }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow else { return nil }
    self.bytes = bytes
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
