/// The client's end of a session of CRIU's page-server protocol: makes the messages, and reads the answers.
public struct PageServerClient: Hashable, Sendable {
  /// How the server wants its headers.
  public let layout: PageServerLayout

  /// A client of a server whose layout is known.
  public init(layout: PageServerLayout) { self.layout = layout }

  /// How many bytes the answer to `hasParent` has.
  public static let parentAnswerBytes = 4
  /// How many bytes the answer to `open` has.
  public static let openAnswerBytes = 1
  /// How many bytes the answer to `close` has.
  public static let closeAnswerBytes = 4

  /// Asks whether the server's earlier images have an object. It is answered by `parentAnswerBytes`.
  public func hasParent(_ object: PageServerObject) -> [UInt8] {
    PageServerHeader(PageServerCommandCode.parent, object: object.wire).encoded(layout)
  }

  /// Begins the pages of an object. It is answered by `openAnswerBytes`.
  public func open(_ object: PageServerObject) -> [UInt8] {
    PageServerHeader(PageServerCommandCode.openAnswered, object: object.wire).encoded(layout)
  }

  /// Pages of the object that was opened last. Where their bytes follow, the flags are `PageServerFlags.present`.
  ///
  /// - Parameter pageCount: no more than the layout has room for (`PageServerLayout.mostPages`).
  public func pages(
    of object: PageServerObject, address: UInt64, pageCount: UInt64, flags: UInt16
  ) -> [UInt8] {
    PageServerHeader(
      PageServerCommandCode.addFlagged, flags: flags, pageCount: pageCount, address: address,
      object: object.wire
    ).encoded(layout)
  }

  /// Everything was sent. It is answered by `closeAnswerBytes` when the server has all of it.
  ///
  /// - Parameter keepsConnection: whether the connection goes on to be used.
  public func close(keepsConnection: Bool) -> [UInt8] {
    PageServerHeader(keepsConnection ? PageServerCommandCode.forceClose : PageServerCommandCode.close)
      .encoded(layout)
  }

  /// What a server has answered to `hasParent` or `close`; nil where the number of bytes is not that of an answer.
  public static func number(_ answer: [UInt8]) -> Int32? {
    guard answer.count == MemoryLayout<Int32>.size else { return nil }
    return unsafe answer.withUnsafeBytes { unsafe $0.loadUnaligned(as: Int32.self) }
  }
}

/// Finds out which layout a server speaks, by a question that both kinds take: a first part, which a server of the older
/// layout answers at once; and, where nothing comes, a second part that makes it a question of the newer layout.
///
/// Tried with the servers of CRIU 4.1.1 and 4.2. It takes a connection on which bytes may come in any cuts: not TLS, where a
/// server takes one record for one header.
public struct PageServerLayoutProbe: Hashable, Sendable {
  /// What is asked about.
  public let object: PageServerObject

  /// Asks about an object, for which the answer counts.
  public init(object: PageServerObject) { self.object = object }

  /// What to send first. A server of the older layout answers it with `PageServerClient.parentAnswerBytes`.
  public var firstPart: [UInt8] { PageServerClient(layout: .bytes24).hasParent(object) }

  /// What to send when nothing comes for long: the object once more. A server of the newer layout has taken its first
  /// appearance for an address, which the question has no use for.
  public var secondPart: [UInt8] { unsafe withUnsafeBytes(of: object.wire) { unsafe Array($0) } }
}
