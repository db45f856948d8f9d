/// What each message to a page server begins with.
public struct PageServerHeader: Hashable, Sendable {
  /// What is asked for: the low 16 bits of the first word.
  public var command: UInt16
  /// The flags of a pagemap entry: the high 16 bits of the first word.
  public var flags: UInt16
  /// How many pages.
  public var pageCount: UInt64
  /// Where they begin.
  public var address: UInt64
  /// Whose they are (`PageServerObject`).
  public var object: UInt64

  /// A header of these fields; those that a command has no use for are 0.
  public init(
    _ command: UInt16, flags: UInt16 = 0, pageCount: UInt64 = 0, address: UInt64 = 0, object: UInt64 = 0
  ) {
    self.command = command
    self.flags = flags
    self.pageCount = pageCount
    self.address = address
    self.object = object
  }

  /// Reads a header.
  ///
  /// - Parameter bytes: exactly as many as the layout has.
  public init(_ bytes: RawSpan, layout: PageServerLayout) {
    precondition(bytes.byteCount == layout.headerBytes, "a header is read whole")
    func number<Integer: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: Integer.Type) -> Integer {
      unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Integer.self)
    }
    let word = number(0, UInt32.self)
    command = UInt16(truncatingIfNeeded: word)
    flags = UInt16(truncatingIfNeeded: word >> 16)
    switch layout {
    case .bytes24:
      pageCount = UInt64(number(4, UInt32.self))
      address = number(8, UInt64.self)
      object = number(16, UInt64.self)
    case .bytes32:
      pageCount = number(8, UInt64.self)
      address = number(16, UInt64.self)
      object = number(24, UInt64.self)
    }
  }

  /// The header as it is sent. More pages than the layout has room for are a mistake of the caller's.
  public func encoded(_ layout: PageServerLayout) -> [UInt8] {
    precondition(pageCount <= layout.mostPages, "so many pages take several headers")
    var bytes: [UInt8] = []
    bytes.reserveCapacity(layout.headerBytes)
    func append(_ number: some FixedWidthInteger & BitwiseCopyable) {
      unsafe withUnsafeBytes(of: number) { unsafe bytes.append(contentsOf: $0) }
    }
    append(UInt32(command) | UInt32(flags) << 16)
    switch layout {
    case .bytes24: append(UInt32(pageCount))
    case .bytes32:
      append(UInt32(0))
      append(pageCount)
    }
    append(address)
    append(object)
    return bytes
  }
}

/// The commands of CRIU's page-server protocol.
enum PageServerCommandCode {
  static let add: UInt16 = 1
  static let hole: UInt16 = 2
  static let open: UInt16 = 3
  static let openAnswered: UInt16 = 4
  static let parent: UInt16 = 5
  static let addFlagged: UInt16 = 6
  static let get: UInt16 = 7
  static let close: UInt16 = 0x1023
  static let forceClose: UInt16 = 0x1024
}

/// The flags of `addFlagged`: those of pagemap entries.
public enum PageServerFlags {
  /// The pages are in the images that these build on; no bytes follow.
  public static let parent: UInt16 = 1
  /// The pages may be restored on demand.
  public static let lazy: UInt16 = 2
  /// The bytes of the pages follow.
  public static let present: UInt16 = 4

  static let known = parent | lazy | present
}
