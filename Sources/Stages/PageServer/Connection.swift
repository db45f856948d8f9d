internal import CSluiceLinux
internal import Glibc
internal import SluicePipeline
internal import SluiceSystem
internal import SluiceTLS

/// A connection of a page-server session, at either end.
///
/// One thread at a time sends and receives, and blocks in it; any other may `interrupt`.
final class Connection: Sendable {
  private let socket: StreamSocket
  /// Where it is encrypted. Nobody waits for the lock: one thread sends and receives.
  private let secured = Locked<SecuredSession?>(nil)
  private let isInterrupted = Locked(false)

  /// A session that can be changed where it is.
  private final class SecuredSession: Sendable {
    // In the lock of the connection.
    nonisolated(unsafe) var session: TLSSession
    init(_ session: consuming sending TLSSession) { unsafe self.session = session }
  }

  /// - Parameter socket: connected, and used by nobody else.
  init(_ socket: consuming sending StreamSocket) { self.socket = socket }

  /// Encrypts the connection, and makes sure who is at the other end.
  ///
  /// - Parameter name: the name or address that the peer's certificate must be for; nil where any does.
  /// - Throws: `SluiceError`: `notPermitted` where one side does not accept the other's certificate.
  func secure(
    as role: TLSSession.Role, by credentials: TLSCredentials, peerName name: String?
  ) throws(SluiceError) {
    do throws(TLSError) {
      let session = SecuredSession(
        try TLSSession(
          role, credentials: credentials, descriptor: socket.number, peerName: name,
          handshakeTimeout: socket.patience))
      secured.withLock { $0 = session }
    } catch {
      throw SluiceError(error)
    }
  }

  /// The network interface that it goes over; nil where no interface has our end's address.
  var interfaceName: String? {
    var name = InlineArray<16, CChar>(repeating: 0)
    let descriptor = socket.number
    return unsafe withUnsafeMutableBytes(of: &name) { bytes in
      guard
        unsafe sluice_interface_of_socket(descriptor, bytes.baseAddress!.assumingMemoryBound(to: CChar.self))
          == 0
      else { return nil }
      return unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// Whether it is encrypted.
  var isSecured: Bool { secured.withLock { $0 != nil } }

  /// The name in the peer's certificate; nil without TLS.
  var peerCommonName: String? { secured.withLock { unsafe $0?.session.peerCommonName } }

  private func onSecured<Result>(
    _ body: (inout TLSSession) throws(TLSError) -> Result
  ) throws(SocketError) -> Result? {
    do throws(TLSError) {
      return try secured.withLock { (secured) throws(TLSError) -> Result? in
        guard let secured else { return nil }
        return unsafe try body(&secured.session)
      }
    } catch {
      throw SocketError(error.code == .timedOut ? .timedOut : .failed, error.message, errno: error.errno)
    }
  }

  private func receiveSome(
    into room: inout MutableRawSpan, within limit: Duration
  ) throws(SocketError) -> Int {
    guard isSecured else { return try socket.receiveSome(into: &room, within: limit) }
    return try unsafe room.withUnsafeMutableBytes { (bytes) throws(SocketError) in
      let received = try onSecured { (session) throws(TLSError) in
        let count = unsafe try session.receive(into: bytes, timeout: limit)
        return (count, isCut: count == 0 && !session.endedCleanly)
      }
      guard let (count, isCut) = received else { return 0 }
      guard !isCut else { throw SocketError(.ended, "the connection with \(peer) was interrupted") }
      return count
    }
  }

  /// Says that nothing more will be sent, and waits until the peer has said so, where it is encrypted.
  ///
  /// - Throws: `SocketError`.
  func finish() throws(SocketError) {
    let patience = socket.patience
    _ = try onSecured { (session) throws(TLSError) in
      try session.close(waitsForPeer: true, timeout: patience)
    }
  }

  /// Who is at the other end, as messages have it.
  var peer: String { socket.peer }

  /// The peer without its port, which tells clients apart.
  var clientAddress: String {
    guard let colon = peer.lastIndex(of: ":") else { return peer }
    return peer[..<colon].filter { $0 != "[" && $0 != "]" }
  }

  /// Whether the peer is on this machine.
  var isLoopback: Bool { socket.isLoopback }

  /// How long a message and its acknowledgement take at present; zero where that is not known.
  var roundTrip: Duration { socket.roundTrip }

  /// The slowest that a peer may be: what comes slower is cut off, whether or not it is ever silent for long.
  private static let leastBytesPerSecond = 16 << 10

  /// Fills all of `room`.
  ///
  /// - Parameter patience: how long the peer may be silent; nil for as long as it may in general.
  /// - Returns: false where the stream ended before its first byte.
  /// - Throws: `SocketError`: `ended` in the middle of it, `timedOut` where the peer is silent or too slow.
  func receive(_ room: inout MutableRawSpan, patience: Duration? = nil) throws(SocketError) -> Bool {
    let count = room.byteCount
    let patience = patience ?? socket.patience
    let limit = patience + .seconds(count / Self.leastBytesPerSecond)
    let deadline = ContinuousClock.now + limit
    var done = 0
    while done < count {
      let left = min(patience, deadline - .now)
      guard left > .zero else {
        throw SocketError(
          .timedOut, "\(peer) sent only \(done) of \(count) bytes in \(limit)",
          errno: SystemErrno(code: ETIMEDOUT))
      }
      var rest = room._mutatingExtracting(done..<count)
      let got = try receiveSome(into: &rest, within: left)
      if got == 0 {
        guard done > 0 else { return false }
        throw SocketError(.ended, "\(peer) ended the connection after \(done) of \(count) bytes")
      }
      done += got
    }
    return true
  }

  /// Receives so many bytes.
  ///
  /// - Parameter patience: how long the peer may be silent; nil for as long as it may in general.
  /// - Returns: nil where the stream ended before the first one.
  /// - Throws: `SocketError`, as `receive`.
  func receive(count: Int, patience: Duration? = nil) throws(SocketError) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var room = unsafe span.mutableBytes
    return try receive(&room, patience: patience) ? bytes : nil
  }

  /// Waits for the first byte of an answer for some time.
  ///
  /// - Returns: nil where none came.
  /// - Throws: `SocketError`.
  func receive(count: Int, within limit: Duration) throws(SocketError) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var room = unsafe span.mutableBytes
    let got: Int
    do throws(SocketError) { got = try receiveSome(into: &room, within: limit) } catch {
      guard error.code == .timedOut else { throw error }
      return nil
    }
    guard got > 0 else { throw SocketError(.ended, "\(peer) has ended the connection") }
    if got < count {
      var rest = room._mutatingExtracting(got..<count)
      guard try receive(&rest) else { throw SocketError(.ended, "\(peer) has ended the connection") }
    }
    return bytes
  }

  /// Sends everything.
  ///
  /// - Throws: `SocketError`.
  func send(_ bytes: [UInt8]) throws(SocketError) { unsafe try send(bytes.span.bytes) }

  private func send(_ bytes: RawSpan) throws(SocketError) {
    guard isSecured else { return try socket.send(bytes) }
    let patience = socket.patience
    try unsafe bytes.withUnsafeBytes { (bytes) throws(SocketError) in
      _ = try onSecured { (session) throws(TLSError) in unsafe try session.send(bytes, timeout: patience) }
    }
  }

  /// Sends a header and what follows it.
  ///
  /// - Throws: `SocketError`.
  func send(_ header: [UInt8], _ payload: RawSpan) throws(SocketError) {
    guard isSecured else { return unsafe try socket.send(header.span.bytes, payload) }
    // A header has a record of its own: CRIU's server receives it in one piece.
    try send(header)
    try send(payload)
  }

  /// Ends the connection, for whoever waits in it. It may be called from any thread, and more than once.
  func interrupt() {
    isInterrupted.withLock { $0 = true }
    StreamSocket.shutDown(socket.number)
  }

  /// Whether it was ended by `interrupt`.
  var wasInterrupted: Bool { isInterrupted.withLock { $0 } }
}
