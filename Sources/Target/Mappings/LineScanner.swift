/// Takes a line apart from left to right.
struct LineScanner: ~Escapable {
  private let line: Span<UInt8>
  private var position = 0

  @_lifetime(copy line)
  init(line: Span<UInt8>) {
    self.line = line
  }

  var isAtEnd: Bool { position == line.count }

  /// Whether the letter is the first one; nil when it is neither.
  mutating func letter(_ first: Unicode.Scalar, orElse second: Unicode.Scalar) -> Bool? {
    if skip(UInt8(ascii: first)) { return true }
    return skip(UInt8(ascii: second)) ? false : nil
  }

  mutating func skip(_ byte: UInt8) -> Bool {
    guard position < line.count, line[position] == byte else { return false }
    position += 1
    return true
  }

  mutating func skipSpaces() {
    while skip(UInt8(ascii: " ")) {}
  }

  /// Passes over what comes before the next space.
  mutating func skipWord() {
    while position < line.count, line[position] != UInt8(ascii: " ") { position += 1 }
  }

  mutating func hexadecimal() -> UInt64? { number(base: 16) }
  mutating func decimal() -> UInt64? { number(base: 10) }

  private mutating func number(base: UInt64) -> UInt64? {
    let first = position
    var value: UInt64 = 0
    while position < line.count, let digit = Self.digit(line[position]), digit < base {
      let (product, overflow) = value.multipliedReportingOverflow(by: base)
      guard !overflow, product <= UInt64.max - digit else { return nil }
      value = product + digit
      position += 1
    }
    return position > first ? value : nil
  }

  private static func digit(_ byte: UInt8) -> UInt64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a") + 10)
    default: nil
    }
  }

  func rest() -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(line.count - position)
    for index in position..<line.count { bytes.append(line[index]) }
    return String(decoding: bytes, as: UTF8.self)
  }
}
