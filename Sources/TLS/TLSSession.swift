internal import CSluiceTLS

/// TLS over a connection, with a peer whose certificate was accepted.
///
/// It is for one thread at a time, which waits in it. What another thread may do meanwhile is shutdown(2) on the socket:
/// the call then ends at once. The socket may be blocking or not, and stays open when the session is gone.
@safe
public struct TLSSession: ~Copyable, @unchecked Sendable {
  /// Which side of the connection we are.
  public enum Role: Hashable, Sendable {
    /// We have connected.
    case client
    /// We have accepted the connection.
    case server
  }

  /// The name in the subject of the peer's certificate (CN); nil where it has none. An authority that we trust has signed
  /// it, but it is a text like any other: it need not do as the name of a file.
  public let peerCommonName: String?
  /// Whether the peer has said that it sends nothing more. Where it has not and there is nothing more all the same, the
  /// connection was cut, and something may be missing.
  public internal(set) var endedCleanly = false

  let handle: OpaquePointer
  let peer: Peer
  /// The handle points into it.
  private let credentials: TLSCredentials
  /// What made sending, or receiving, impossible for good.
  var sendingFailure: TLSError?
  var receivingFailure: TLSError?
  /// Whether there is nothing more to receive.
  var hasEnded = false

  /// Agrees with the peer on keys; each side demands the other's certificate and checks it.
  ///
  /// - Parameters:
  ///   - role: which side of the connection we are.
  ///   - credentials: our certificate, and whom we trust.
  ///   - descriptor: a connected socket, which its owner keeps open for as long as the session is there.
  ///   - peerName: the host name or the address that the peer's certificate must be for. It is not checked where it is nil,
  ///     or the configuration of the credentials says so.
  ///   - handshakeTimeout: how long all of it may take.
  /// - Throws: `TLSError`. The peer is told why, unless it is gone.
  public init(
    _ role: Role, credentials: TLSCredentials, descriptor: Int32, peerName: String?,
    handshakeTimeout: Duration
  ) throws(TLSError) {
    let peer = Peer(role: role, name: peerName)
    let handle = try unsafe Self.shakeHands(
      role, credentials, descriptor, peer, credentials.configuration.verifiesName ? peerName : nil,
      timeout: handshakeTimeout)
    unsafe self.handle = unsafe handle
    self.peer = peer
    self.credentials = credentials
    peerCommonName = unsafe Self.commonName(handle)
  }

  deinit {
    unsafe sluice_tls_session_free(handle)
  }

  private static func shakeHands(
    _ role: Role, _ credentials: TLSCredentials, _ descriptor: Int32, _ peer: Peer, _ checkedName: String?,
    timeout: Duration
  ) throws(TLSError) -> OpaquePointer {
    let side = role == .client ? SLUICE_TLS_CLIENT : SLUICE_TLS_SERVER
    var made: OpaquePointer?
    let result = unsafe sluice_tls_session_make(side, credentials.handle, descriptor, checkedName, &made)
    guard result >= 0, let handle = unsafe made else {
      throw TLSError(.failed, "preparing TLS with \(peer)", returned: result)
    }
    let handshake = unsafe sluice_tls_handshake(handle, timeout.inNanoseconds)
    guard handshake < 0 else { return unsafe handle }
    let commonName = unsafe commonName(handle)
    let error = unsafe peer.failure(
      of: handle, .handshake, returned: handshake, timeout: timeout, commonName: commonName)
    unsafe sluice_tls_session_free(handle)
    throw error
  }

  private static func commonName(_ handle: OpaquePointer) -> String? {
    // The standard has them at 64 characters.
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { name in
      let count = unsafe sluice_tls_peer_common_name(handle, name.baseAddress, name.count)
      guard count > 0 else { return nil }
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(name)[..<count])
      return unsafe String(decoding: bytes, as: UTF8.self)
    }
  }
}
