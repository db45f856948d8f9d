/// An address in another process' memory, as all commands print it.
enum Address {
  /// Hexadecimal, with 0x before it.
  static func text(_ address: UInt64) -> String { "0x" + String(address, radix: 16) }

  /// From the first address to the one after the last.
  static func range(_ start: UInt64, _ end: UInt64) -> String { "\(text(start))-\(text(end))" }
}
