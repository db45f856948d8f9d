internal import CSluiceLinux
internal import SluiceImages
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceWire

/// The server's end of one session: what the client asks for, and the answers.
///
/// Used by one thread at a time.
final class ReceivingSession: Sendable {
  let connection: Connection
  private let machine: Locked<PageServerSession>
  private let receivedBytes = Locked(UInt64(0))
  private let mostBytes: UInt64?

  /// - Parameter mostBytes: what the client may send of pages, in bytes; nil for any number.
  init(_ connection: Connection, mostBytes: UInt64?) {
    self.connection = connection
    self.mostBytes = mostBytes
    machine = Locked(PageServerSession(pageSize: Int(sluice_page_size())))
  }

  /// The bytes of pages that have come so far.
  var byteCount: UInt64 { receivedBytes.withLock { $0 } }

  /// The layout of headers that the client speaks, in bytes of a header; nil where that is not known.
  var headerBytes: Int? { machine.withLock { $0.layout?.headerBytes } }

  /// Whether the client has sent anything at all.
  var hasBegun: Bool { machine.withLock { $0.headerCount > 0 } }

  /// Waits for what the client asks for next.
  ///
  /// - Throws: `SluiceError`: `io` where the connection ends or the client is silent, `malformedImages` where it breaks the
  ///   protocol.
  func next() throws(SluiceError) -> PageServerSession.Request {
    while true {
      let (wanted, isInside) = machine.withLock { ($0.wantedBytes, $0.isInsideHeader) }
      guard let bytes = try on({ () throws(SocketError) in try connection.receive(count: wanted) }) else {
        throw SluiceError(
          .io,
          hasBegun || isInside
            ? "\(connection.peer) ended the connection before it had sent everything"
            : "\(connection.peer) ended the connection without a request")
      }
      let request: PageServerSession.Request?
      do throws(PageServerSession.Violation) {
        request = try machine.withLock { (machine) throws(PageServerSession.Violation) in
          unsafe try machine.receive(bytes.span.bytes)
        }
      } catch {
        throw SluiceError(.malformedImages, "\(connection.peer) breaks the protocol: \(error)")
      }
      guard let request else { continue }
      if case .pages(_, let byteCount, _, true) = request { try count(byteCount) }
      return request
    }
  }

  private func count(_ byteCount: UInt64) throws(SluiceError) {
    let total = receivedBytes.withLock { total in
      // What the machine lets pass adds up to no more than all addresses of so many objects.
      total &+= byteCount
      return total
    }
    guard let mostBytes, total > mostBytes else { return }
    throw SluiceError(
      .io,
      "\(connection.peer) sends more than \(mostBytes) bytes, the limit of a session (mostBytes; --max-bytes)"
    )
  }

  /// Receives bytes of pages that the client has announced.
  ///
  /// - Throws: `SluiceError` with `io`.
  func receive(_ room: inout MutableRawSpan) throws(SluiceError) {
    let isThere: Bool
    do throws(SocketError) { isThere = try connection.receive(&room) } catch { throw SluiceError(error) }
    guard isThere else {
      throw SluiceError(.io, "\(connection.peer) ended the connection in the middle of pages")
    }
  }

  /// Whether earlier images have an object.
  ///
  /// - Throws: `SluiceError` where they cannot be read.
  func has(_ object: PageServerObject, in parent: ParentImages?) throws(SluiceError) -> Bool {
    guard let parent else { return false }
    return try onImages { () throws(ImagesError) in try parent.has(pagemap: object.pagemapName) }
  }

  /// Answers a question for earlier images.
  ///
  /// - Throws: `SluiceError` with `io`.
  func answer(hasParent: Bool) throws(SluiceError) {
    try send(PageServerSession.answer(hasParent: hasParent))
  }

  /// Answers that an object is open.
  ///
  /// - Parameter hasParent: whether earlier images have it.
  /// - Throws: `SluiceError` with `io`.
  func answer(toOpen hasParent: Bool) throws(SluiceError) {
    try send(PageServerSession.answer(toOpen: hasParent))
  }

  /// Answers that everything was received, and is where it belongs.
  ///
  /// - Throws: `SluiceError` with `io`.
  func answerToClose() throws(SluiceError) { try send(PageServerSession.answerToClose) }

  private func send(_ bytes: [UInt8]) throws(SluiceError) {
    try on { () throws(SocketError) in try connection.send(bytes) }
  }

  private func on<Result>(_ body: () throws(SocketError) -> Result) throws(SluiceError) -> Result {
    do throws(SocketError) { return try body() } catch { throw SluiceError(error) }
  }
}

extension SluiceError {
  /// What went wrong with a connection.
  init(_ error: SocketError) {
    let code: Code =
      switch error.code {
      case .unresolved: .notFound
      case .timedOut, .ended, .failed: .io
      }
    self.init(code, error.description, errno: error.errno)
  }
}
