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
  /// Where in the file it begins, in bytes; for anonymous memory it means nothing.
  public private(set) var fileOffset: UInt64
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
    rest.fileOffset &+= address - start
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
      let fileOffset = scanner.hexadecimal(), scanner.skip(UInt8(ascii: " ")),
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
    self.fileOffset = fileOffset
    self.device = device
    self.inode = inode
    scanner.skipSpaces()
    name = scanner.rest()
  }
}
