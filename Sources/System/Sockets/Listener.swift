internal import CSluiceLinux

/// A socket that connections come to.
public struct Listener: ~Copyable, Sendable {
  private let descriptor: Descriptor
  /// Has something to read once nobody is to wait any more.
  private let end: Descriptor
  /// The address that it has, in numbers; empty for a local socket.
  public let host: String
  /// The port that it has; 0 for a local socket.
  public let port: UInt16

  /// Listens at an address, which is given in numbers; port 0 is any that is free.
  ///
  /// - Parameter backlog: how many connections may wait to be taken.
  /// - Throws: `SocketError`.
  public init(at address: SocketAddress, backlog: Int32) throws(SocketError) {
    var reason = [CChar](repeating: 0, count: 128)
    let made = unsafe reason.withUnsafeMutableBufferPointer {
      unsafe sluice_listen(address.host, address.port, backlog, $0.baseAddress)
    }
    let doing = "listening at \(address)"
    guard made != Int32(SLUICE_UNRESOLVED) else {
      let reason = unsafe reason.withUnsafeBufferPointer { unsafe String(cString: $0.baseAddress!) }
      throw SocketError(.unresolved, "\(doing): \(reason); give the address in numbers")
    }
    guard made >= 0 else { throw SocketError(doing, returned: made) }
    try self.init(owning: Descriptor(owning: made))
  }

  /// Takes over a socket that listens.
  ///
  /// - Throws: `SocketError` when it is none.
  public init(owning descriptor: consuming Descriptor) throws(SocketError) {
    let port = sluice_local_port(descriptor.number)
    guard port >= 0 || SystemErrno(code: -port).name == "EAFNOSUPPORT" else {
      throw SocketError("using descriptor \(descriptor.number) to listen", returned: port)
    }
    var text = [CChar](repeating: 0, count: Self.hostBytes)
    let host = unsafe text.withUnsafeMutableBufferPointer { text -> String in
      guard unsafe sluice_local_host(descriptor.number, text.baseAddress) == 0 else { return "" }
      return unsafe String(cString: text.baseAddress!)
    }
    let event = sluice_eventfd()
    guard event >= 0 else { throw SocketError("preparing to listen at port \(port)", returned: event) }
    self.init(descriptor, end: Descriptor(owning: event), host: host, port: UInt16(max(port, 0)))
  }

  /// What an address in numbers takes at most, as `sluice_local_host` has it.
  private static let hostBytes = 46

  private init(
    _ descriptor: consuming Descriptor, end: consuming Descriptor, host: String, port: UInt16
  ) {
    self.descriptor = descriptor
    self.end = end
    self.host = host
    self.port = port
  }

  /// The number of the descriptor, which stays open as long as this value lives.
  public var number: Int32 { descriptor.number }

  /// Hands the descriptor to somebody else, who closes it.
  public consuming func take() -> Descriptor { descriptor }

  /// Ends all waiting for connections, for good and from any thread. The socket stays as it is: it may be another's, too,
  /// such as a service manager's.
  public func endWaiting() {
    // An event that cannot be signalled any more was signalled before.
    _ = sluice_eventfd_signal(end.number)
  }

  /// What a wait for a connection has come to.
  public enum Event: ~Copyable, Sendable {
    /// A client has connected.
    case connection(Descriptor)
    /// Nobody is to wait any more (`endWaiting`).
    case ended
    /// Nothing came in that time, or the client went away again.
    case none
  }

  /// Waits for the next connection.
  ///
  /// - Parameter limit: how long to wait; nil for as long as it takes.
  /// - Throws: `SocketError`: EMFILE, say, when there are no descriptors left.
  public func next(within limit: Duration? = nil) throws(SocketError) -> Event {
    let ready = sluice_wait_for_connection(number, end.number, limit.map(StreamSocket.milliseconds) ?? -1)
    switch ready {
    case 1: break
    case 2: return .ended
    case 0: return .none
    default: throw SocketError("waiting for connections at port \(port)", returned: ready)
    }
    let taken = sluice_accept(number)
    guard taken < 0 else { return .connection(Descriptor(owning: taken)) }
    switch SystemErrno(code: -taken).name {
    // Those of the network, which accept(2) hands on, are the client's; it has gone.
    case "EAGAIN", "ECONNABORTED", "EPROTO", "ENETDOWN", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "ENETUNREACH":
      return .none
    default: throw SocketError("taking a connection at port \(port)", returned: taken)
    }
  }
}
