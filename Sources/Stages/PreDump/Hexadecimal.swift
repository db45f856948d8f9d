/// An address that reports tell in hexadecimal: a string with "0x" where they are encoded, for JSON's numbers are not
/// exact as far up as addresses go.
@propertyWrapper
public struct Hexadecimal: Hashable, Sendable, Codable {
  /// The address.
  public var wrappedValue: UInt64

  /// That address.
  public init(wrappedValue: UInt64) {
    self.wrappedValue = wrappedValue
  }

  /// Reads digits with "0x" before them.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard text.hasPrefix("0x"), let address = UInt64(text.dropFirst(2), radix: 16) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "\(text) is not an address in hexadecimal")
    }
    wrappedValue = address
  }

  /// Writes the digits with "0x" before them.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode("0x" + String(wrappedValue, radix: 16))
  }
}
