/// A mapping of a process (virtual memory area), as a line of /proc/PID/maps describes it: proc_pid_maps(5).
public struct VMA: Hashable, Sendable {
  /// The first address.
  public private(set) var start: UInt64
  /// The address after the last.
  public let end: UInt64
  /// Whether the process may read it now.
  public let isReadable: Bool
  /// Whether the process may write it now.
  public let isWritable: Bool
  /// Whether the process may execute it now.
  public let isExecutable: Bool
  /// Whether writes are shared with others ("s" in maps) rather than private ("p").
  public let isShared: Bool
  /// The device of the filesystem that the mapped file is on; 0:0 for anonymous memory.
  public let device: DeviceNumber
  /// The inode of the mapped file; 0 for anonymous memory.
  public let inode: UInt64
  /// The path of the file, a name in brackets, or nothing.
  public let name: String

  /// Whether a file is mapped rather than anonymous memory.
  public var isFileBacked: Bool { inode != 0 }

  /// Its size in bytes.
  public var byteCount: UInt64 { end - start }

  /// The same mapping without what lies below `address`.
  func cut(from address: UInt64) -> VMA {
    var rest = self
    rest.start = address
    return rest
  }

  /// Reads one line, without its newline. Nil when it is none of maps.
  init?(line: Span<UInt8>) {
    var scanner = LineScanner(line: line)
    guard let start = scanner.hexadecimal(), scanner.skip(UInt8(ascii: "-")),
      let end = scanner.hexadecimal(), scanner.skip(UInt8(ascii: " ")), start < end,
      let isReadable = scanner.letter("r", orElse: "-"), let isWritable = scanner.letter("w", orElse: "-"),
      let isExecutable = scanner.letter("x", orElse: "-"), let isShared = scanner.letter("s", orElse: "p"),
      scanner.skip(UInt8(ascii: " ")),
      scanner.hexadecimal() != nil, scanner.skip(UInt8(ascii: " ")),
      let major = scanner.hexadecimal(), scanner.skip(UInt8(ascii: ":")), let minor = scanner.hexadecimal(),
      let device = DeviceNumber(major: major, minor: minor),
      scanner.skip(UInt8(ascii: " ")), let inode = scanner.decimal(),
      scanner.isAtEnd || scanner.skip(UInt8(ascii: " "))
    else { return nil }
    self.start = start
    self.end = end
    self.isReadable = isReadable
    self.isWritable = isWritable
    self.isExecutable = isExecutable
    self.isShared = isShared
    self.device = device
    self.inode = inode
    scanner.skipSpaces()
    name = scanner.rest()
  }
}

/// The number of a device. Every mounted filesystem has one, those without a disk too.
public struct DeviceNumber: Hashable, Sendable {
  /// What kind of device.
  public let major: UInt32
  /// Which of them.
  public let minor: UInt32

  init(major: UInt32, minor: UInt32) {
    self.major = major
    self.minor = minor
  }

  /// Nil for numbers that the kernel does not give.
  init?(major: UInt64, minor: UInt64) {
    guard let major = UInt32(exactly: major), let minor = UInt32(exactly: minor) else { return nil }
    self.init(major: major, minor: minor)
  }
}

/// Takes a line apart from left to right.
private struct LineScanner: ~Escapable {
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
