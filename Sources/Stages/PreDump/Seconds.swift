/// A time that reports tell in seconds: a number, which need not be whole, where they are encoded.
@propertyWrapper
public struct Seconds: Hashable, Sendable, Codable {
  /// The time.
  public var wrappedValue: Duration

  /// That time.
  public init(wrappedValue: Duration) {
    self.wrappedValue = wrappedValue
  }

  /// Reads a number of seconds.
  public init(from decoder: any Decoder) throws {
    wrappedValue = .seconds(try decoder.singleValueContainer().decode(Double.self))
  }

  /// Writes the number of seconds.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(wrappedValue.inSeconds)
  }
}

extension Duration {
  /// The number of seconds, as near as a number of its kind comes to it.
  var inSeconds: Double { self / .seconds(1) }
}
