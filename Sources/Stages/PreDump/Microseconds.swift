/// A time that reports tell in whole microseconds: a whole number where they are encoded.
@propertyWrapper
public struct Microseconds: Hashable, Sendable, Codable {
  private var count: UInt64

  /// The time, from 0 up, without what is less than a microsecond.
  public var wrappedValue: Duration {
    get { .microseconds(Int64(clamping: count)) }
    set { count = newValue.inMicroseconds }
  }

  /// That time.
  public init(wrappedValue: Duration) {
    count = wrappedValue.inMicroseconds
  }

  /// Reads a number of microseconds.
  public init(from decoder: any Decoder) throws {
    count = try decoder.singleValueContainer().decode(UInt64.self)
  }

  /// Writes the number of microseconds.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(count)
  }
}

extension Duration {
  /// The whole microseconds; 0 for a time that is negative, the highest number for one that is longer than that.
  var inMicroseconds: UInt64 {
    guard self > .zero else { return 0 }
    guard self < .seconds(1 << 44) else { return .max }
    let (seconds, attoseconds) = components
    return UInt64(clamping: seconds) &* 1_000_000 &+ UInt64(clamping: attoseconds / 1_000_000_000_000)
  }

  /// The same as milliseconds, to a tenth, for people.
  var inMilliseconds: String { "\(inMicroseconds / 1000).\(inMicroseconds / 100 % 10)" }

  /// Nanoseconds, as clocks and counters have them.
  static func nanoseconds(counted nanoseconds: UInt64) -> Duration {
    .nanoseconds(Int64(clamping: nanoseconds))
  }
}
