/// The server's end of a session of CRIU's page-server protocol: takes headers, and says what they ask for. It finds out
/// which layout the client speaks.
///
/// It holds no bytes of pages: after `pages` with bytes, these come next on the connection, and then the next header.
public struct PageServerSession: Sendable {
  /// What a client asks for.
  public enum Request: Hashable, Sendable {
    /// Whether earlier images have the object. The answer has 4 bytes (`answer(hasParent:)`).
    case hasParent(PageServerObject)
    /// The object's pages follow. Where it is to be answered, the answer is one byte, whether earlier images have it.
    case open(PageServerObject, isAnswered: Bool)
    /// Pages of the object that was opened last, in address order. Where `isData`, their bytes follow.
    case pages(address: UInt64, byteCount: UInt64, flags: UInt16, isData: Bool)
    /// The client has sent everything, and waits for an answer of 4 bytes. With `isForced` it keeps the connection.
    case close(isForced: Bool)
  }

  /// What a client may not do. Its session ends.
  public struct Violation: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was wrong, in one line.
    public let description: String

    init(_ description: String) { self.description = description }
  }

  /// More objects than any tree has processes. It bounds what a client can have us remember.
  public static let mostObjects = 1 << 15
  /// The second part of a probe is the number of an object.
  private static let probeBytes = MemoryLayout<UInt64>.size
  /// No address of a process lies beyond, on any machine.
  private static let endOfAddresses: UInt64 = 1 << 57

  /// The layout that the client speaks; nil as long as that is not known.
  public private(set) var layout: PageServerLayout?
  /// How many headers were taken.
  public private(set) var headerCount: UInt64 = 0
  /// Whether everything was sent.
  public private(set) var isClosed = false
  private let pageSize: UInt64
  /// What came of a header that is looked at before all of it has come: of the first one, which may be of either layout, and
  /// of one that may be the second part of a probe.
  private var begun: [UInt8] = []
  /// The object, as it came, of a question in the older layout that has just been the first header: if this number comes
  /// once more, the client has asked what our layout is (`PageServerLayoutProbe`), has waited in vain for an answer that
  /// was late, and speaks the newer one. Nothing else begins with it: as a command, it would be one for pages of an object
  /// that is not open.
  private var probed: UInt64?
  private var opened: Set<PageServerObject> = []
  private var current: PageServerObject?
  /// Where the object's pages that were named so far end.
  private var end: UInt64 = 0

  /// - Parameter pageSize: in bytes.
  public init(pageSize: Int) { self.pageSize = UInt64(pageSize) }

  /// How many bytes to receive next, as a part of a header.
  public var wantedBytes: Int {
    guard let layout else {
      return begun.isEmpty
        ? PageServerLayout.bytes24.headerBytes
        : PageServerLayout.bytes32.headerBytes - PageServerLayout.bytes24.headerBytes
    }
    guard probed == nil else { return begun.isEmpty ? Self.probeBytes : layout.headerBytes - Self.probeBytes }
    return layout.headerBytes
  }

  /// Whether bytes of a header were taken that is not whole.
  public var isInsideHeader: Bool { !begun.isEmpty }

  /// Takes as many bytes as were wanted.
  ///
  /// - Returns: what the client asks for; nil where the header is not whole yet.
  /// - Throws: `Violation`.
  public mutating func receive(_ bytes: RawSpan) throws(Violation) -> Request? {
    precondition(bytes.byteCount == wantedBytes, "a header is taken as it was wanted")
    precondition(!isClosed, "behind its end a session has no headers")
    if let layout, probed == nil { return try take(PageServerHeader(bytes, layout: layout)) }
    unsafe bytes.withUnsafeBytes { part in unsafe begun.append(contentsOf: Array(part)) }
    if let layout, let probed { return try takeBehindProbe(of: probed, layout) }
    // The first command names an object, whose number is never 0, and no address: so what the older layout has there
    // tells (tried with both kinds of clients).
    if begun.count == PageServerLayout.bytes24.headerBytes {
      guard begun[16...].contains(where: { $0 != 0 }) else { return nil }
      layout = .bytes24
    } else {
      layout = .bytes32
    }
    guard let layout else { return nil }
    let header = unsafe PageServerHeader(begun.span.bytes, layout: layout)
    begun = []
    if layout == .bytes24, header.command == PageServerCommandCode.parent { probed = header.object }
    return try take(header)
  }

  private mutating func takeBehindProbe(
    of object: UInt64, _ layout: PageServerLayout
  ) throws(Violation) -> Request? {
    if begun.count == Self.probeBytes {
      guard unsafe begun.withUnsafeBytes({ unsafe $0.loadUnaligned(as: UInt64.self) }) == object else {
        return nil
      }
      self.layout = .bytes32
      probed = nil
      begun = []
      return nil
    }
    probed = nil
    let header = unsafe PageServerHeader(begun.span.bytes, layout: layout)
    begun = []
    return try take(header)
  }

  private mutating func take(_ header: PageServerHeader) throws(Violation) -> Request {
    headerCount += 1
    switch header.command {
    case PageServerCommandCode.parent: return .hasParent(try object(of: header))
    case PageServerCommandCode.open: return try open(header, isAnswered: false)
    case PageServerCommandCode.openAnswered: return try open(header, isAnswered: true)
    case PageServerCommandCode.add: return try pages(header, flags: PageServerFlags.present)
    case PageServerCommandCode.hole: return try pages(header, flags: PageServerFlags.parent)
    case PageServerCommandCode.addFlagged: return try pages(header, flags: header.flags)
    case PageServerCommandCode.close, PageServerCommandCode.forceClose:
      // CRIU goes on after a CLOSE with flags, which no client sends.
      guard header.flags == 0 else { throw Violation("a command of unknown kind \(name(of: header))") }
      isClosed = true
      return .close(isForced: header.command == PageServerCommandCode.forceClose)
    case PageServerCommandCode.get:
      throw Violation("it asks for pages (lazy migration), which is not what this server is for")
    default:
      throw Violation(
        headerCount == 1
          ? "what it sends is not CRIU's page-server protocol (it begins with \(name(of: header)))"
          : "a command of unknown kind \(name(of: header))")
    }
  }

  private func name(of header: PageServerHeader) -> String {
    "0x" + String(UInt32(header.flags) << 16 | UInt32(header.command), radix: 16)
  }

  private func object(of header: PageServerHeader) throws(Violation) -> PageServerObject {
    guard let object = PageServerObject(wire: header.object) else {
      throw Violation("a command names an object of unknown kind 0x\(String(header.object, radix: 16))")
    }
    return object
  }

  private mutating func open(
    _ header: PageServerHeader, isAnswered: Bool
  ) throws(Violation) -> Request {
    let object = try object(of: header)
    // It would begin the object's files anew, and lose the pages that were sent before.
    guard opened.insert(object).inserted else { throw Violation("\(object) is opened a second time") }
    guard opened.count <= Self.mostObjects else {
      throw Violation("it opens more than \(Self.mostObjects) objects")
    }
    current = object
    end = 0
    return .open(object, isAnswered: isAnswered)
  }

  private mutating func pages(_ header: PageServerHeader, flags: UInt16) throws(Violation) -> Request {
    let object = try object(of: header)
    guard object == current else {
      throw Violation("pages come of \(object), which is not the object that was opened last")
    }
    let place = "of \(object) at 0x\(String(header.address, radix: 16))"
    guard flags & ~PageServerFlags.known == 0 else {
      throw Violation("pages \(place) have unknown flags 0x\(String(flags, radix: 16))")
    }
    guard
      flags & (PageServerFlags.parent | PageServerFlags.present) != PageServerFlags.parent
        | PageServerFlags.present
    else { throw Violation("pages \(place) are sent and left to the parent at once") }
    guard flags & (PageServerFlags.parent | PageServerFlags.present) != 0 else {
      throw Violation("pages \(place) come without bytes, to be fetched later (lazy migration)")
    }
    guard header.pageCount > 0 else { throw Violation("a run \(place) has no pages") }
    guard header.address % pageSize == 0 else {
      throw Violation("pages \(place) do not begin where pages do")
    }
    let (byteCount, overflows) = header.pageCount.multipliedReportingOverflow(by: pageSize)
    guard !overflows, byteCount <= Self.endOfAddresses, header.address <= Self.endOfAddresses - byteCount
    else {
      throw Violation("\(header.pageCount) pages \(place) reach beyond all memory")
    }
    guard header.address >= end else {
      throw Violation(
        "pages \(place) come after pages up to 0x\(String(end, radix: 16)): not in order, or twice")
    }
    end = header.address + byteCount
    return .pages(
      address: header.address, byteCount: byteCount, flags: flags,
      isData: flags & PageServerFlags.present != 0)
  }

  /// The answer to `hasParent`.
  public static func answer(hasParent: Bool) -> [UInt8] { bytes(of: Int32(hasParent ? 1 : 0)) }

  /// The answer to `open`, where it is to be answered.
  public static func answer(toOpen hasParent: Bool) -> [UInt8] { [hasParent ? 1 : 0] }

  /// The answer to `close`: everything has arrived.
  public static var answerToClose: [UInt8] { bytes(of: Int32(0)) }

  private static func bytes(of number: Int32) -> [UInt8] {
    unsafe withUnsafeBytes(of: number) { unsafe Array($0) }
  }
}
