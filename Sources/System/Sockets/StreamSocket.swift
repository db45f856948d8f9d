internal import CSluiceLinux

/// A connection, which is closed when its owner lets go of it. Calls wait as long as they are told; another thread ends such
/// a wait by `shutDown` of the socket's number.
///
/// Used by one thread at a time.
public struct StreamSocket: ~Copyable, Sendable {
  private let descriptor: Descriptor
  /// Who is at the other end, as messages have it: "192.0.2.1:4711", or "local".
  public let peer: String
  /// How long the peer may be silent, or take nothing.
  public var patience: Duration

  /// A wait that has no end in practice, and that can be counted in milliseconds.
  private static let longest = Duration.seconds(1 << 30)

  /// The number of the descriptor, which stays open as long as this value lives.
  public var number: Int32 { descriptor.number }

  /// Whether the peer is on this machine.
  public var isLoopback: Bool { sluice_peer_is_loopback(number) == 1 }

  /// Takes over a connected socket.
  ///
  /// - Parameter patience: how long the peer may be silent, or take nothing.
  /// - Throws: `SocketError` when it is none.
  public init(owning descriptor: consuming Descriptor, patience: Duration) throws(SocketError) {
    let isStream = sluice_is_stream_socket(descriptor.number)
    guard isStream >= 0 else {
      throw SocketError("using descriptor \(descriptor.number)", returned: isStream)
    }
    guard isStream == 1 else {
      throw SocketError(.failed, "descriptor \(descriptor.number) is no socket of a stream")
    }
    var text = [CChar](repeating: 0, count: 80)
    let named = unsafe text.withUnsafeMutableBufferPointer {
      unsafe sluice_peer_name(descriptor.number, $0.baseAddress)
    }
    guard named == 0 else {
      throw SocketError("finding out who is connected to descriptor \(descriptor.number)", returned: named)
    }
    let peer = unsafe text.withUnsafeBufferPointer { unsafe String(cString: $0.baseAddress!) }
    let milliseconds = Self.milliseconds(patience)
    let prepared = sluice_prepare_session(descriptor.number, UInt32(clamping: milliseconds))
    guard prepared == 0 else {
      throw SocketError("preparing the connection with \(peer)", returned: prepared)
    }
    self.init(descriptor, peer: peer, patience: patience)
  }

  private init(_ descriptor: consuming Descriptor, peer: String, patience: Duration) {
    self.descriptor = descriptor
    self.peer = peer
    self.patience = patience
  }

  /// Connects.
  ///
  /// - Throws: `SocketError`.
  public static func connect(
    to address: SocketAddress, within limit: Duration, patience: Duration
  ) throws(SocketError) -> StreamSocket {
    var reason = [CChar](repeating: 0, count: 128)
    let made = unsafe reason.withUnsafeMutableBufferPointer {
      unsafe sluice_connect(address.host, address.port, milliseconds(limit), $0.baseAddress)
    }
    let doing = "connecting to \(address)"
    guard made != Int32(SLUICE_UNRESOLVED) else {
      let reason = unsafe reason.withUnsafeBufferPointer { unsafe String(cString: $0.baseAddress!) }
      throw SocketError(.unresolved, "\(doing): \(reason)")
    }
    if made < 0, SystemErrno(returned: made).name == "ECONNREFUSED" {
      throw SocketError("\(doing): no server listens there, so start it first", returned: made)
    }
    guard made >= 0 else { throw SocketError(doing, returned: made) }
    return try StreamSocket(owning: Descriptor(owning: made), patience: patience)
  }

  static func milliseconds(_ duration: Duration) -> Int64 {
    let (seconds, attoseconds) = min(max(duration, .zero), longest).components
    return seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }

  /// Receives what there is, waiting for the first byte.
  ///
  /// - Parameter limit: how long to wait; nil for as long as the peer may be silent.
  /// - Returns: how many bytes came; 0 at the end of the stream.
  /// - Throws: `SocketError`.
  public func receiveSome(
    into room: inout MutableRawSpan, within limit: Duration? = nil
  ) throws(SocketError) -> Int {
    let milliseconds = Self.milliseconds(limit ?? patience)
    let got = unsafe room.withUnsafeMutableBytes { room in
      unsafe sluice_receive(number, room.baseAddress, room.count, milliseconds)
    }
    guard got >= 0 else { throw SocketError("receiving from \(peer)", returned: got) }
    return got
  }

  /// Sends everything.
  ///
  /// - Throws: `SocketError`.
  public func send(_ bytes: RawSpan) throws(SocketError) {
    let result = unsafe bytes.withUnsafeBytes { bytes in
      unsafe sluice_send(number, bytes.baseAddress, bytes.count, Self.milliseconds(patience))
    }
    guard result == 0 else { throw SocketError("sending to \(peer)", returned: result) }
  }

  /// Sends a header and what follows it.
  ///
  /// - Throws: `SocketError`.
  public func send(_ header: RawSpan, _ payload: RawSpan) throws(SocketError) {
    let result = unsafe header.withUnsafeBytes { header in
      unsafe payload.withUnsafeBytes { payload in
        unsafe sluice_send_two(
          number, header.baseAddress, header.count, payload.baseAddress, payload.count,
          Self.milliseconds(patience))
      }
    }
    guard result == 0 else { throw SocketError("sending to \(peer)", returned: result) }
  }

  /// How long a message and its acknowledgement take at present; zero where that is not known.
  public var roundTrip: Duration { .microseconds(Int64(sluice_round_trip_microseconds(number))) }

  /// Ends the connection, for whoever waits in it on another thread.
  ///
  /// - Parameter number: of a socket that is open.
  public static func shutDown(_ number: Int32) { sluice_shut_down(number) }

  /// Hands the descriptor to somebody else, who closes it.
  public consuming func take() -> Descriptor { descriptor }
}
