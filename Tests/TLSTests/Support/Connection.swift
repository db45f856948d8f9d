import Glibc
import SluiceTLS
import SluiceTestSupport

/// A connection with both its ends.
final class Connection: Sendable {
  let client: Int32
  let server: Int32

  /// How the two ends are connected.
  enum Kind: CaseIterable {
    case unix, tcp, tcpNonBlocking
  }

  init(_ kind: Kind = .tcp) throws {
    switch kind {
    case .unix:
      var ends: [Int32] = [-1, -1]
      let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
      guard unsafe socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw TestFailure("socketpair: \(errno)") }
      (client, server) = (ends[0], ends[1])
    case .tcp, .tcpNonBlocking:
      let listener = try Listener()
      client = try listener.connect()
      server = try listener.accept()
      guard kind == .tcpNonBlocking else { return }
      for end in [client, server] { _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) }
    }
  }

  deinit {
    Glibc.close(client)
    Glibc.close(server)
  }

  func descriptor(of role: TLSSession.Role) -> Int32 { role == .client ? client : server }

  /// Closes an end before its time: there is something else by its number then.
  func close(_ role: TLSSession.Role) {
    let other = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    dup2(other, descriptor(of: role))
    Glibc.close(other)
  }

  /// Runs `body` with a session, on a thread of its own.
  func session<Result: Sendable>(
    _ role: TLSSession.Role, _ credentials: TLSCredentials, peerName: String? = nil,
    handshakeTimeout: Duration = longestWait,
    _ body: @escaping @Sendable (inout TLSSession) throws -> Result
  ) async throws -> Result {
    try await blocking { [self] in
      var session = try TLSSession(
        role, credentials: credentials, descriptor: descriptor(of: role), peerName: peerName,
        handshakeTimeout: handshakeTimeout)
      return try body(&session)
    }
  }

  /// Runs both sides at once, with the credentials of all tests.
  func sessions<ClientResult: Sendable, ServerResult: Sendable>(
    client: @escaping @Sendable (inout TLSSession) throws -> ClientResult,
    server: @escaping @Sendable (inout TLSSession) throws -> ServerResult
  ) async throws -> (client: ClientResult, server: ServerResult) {
    let pair = try await Pair.shared
    async let clientResult = session(.client, pair.client, client)
    async let serverResult = session(.server, pair.server, server)
    return try await (clientResult, serverResult)
  }

  /// The other side does what it likes with its end; when it is done nothing more comes from it.
  func raw<Result: Sendable>(
    _ role: TLSSession.Role, _ body: @escaping @Sendable (Int32) throws -> Result
  ) async throws -> Result {
    try await blocking { [self] in
      let end = descriptor(of: role)
      defer { shutdown(end, Int32(SHUT_WR)) }
      return try body(end)
    }
  }
}

/// A socket that takes connections from this machine.
final class Listener: Sendable {
  let descriptor: Int32
  let port: UInt16

  init() throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = Self.address(port: 0)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = unsafe withUnsafeMutablePointer(to: &address) { address in
      unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        if unsafe bind(descriptor, address, size) != 0 { return Int32(-1) }
        return unsafe getsockname(descriptor, address, &size)
      }
    }
    guard result == 0, listen(descriptor, 1) == 0 else { throw TestFailure("listening: \(errno)") }
    self.descriptor = descriptor
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit {
    close(descriptor)
  }

  func accept() throws -> Int32 {
    let accepted = Glibc.accept(descriptor, nil, nil)
    guard accepted >= 0 else { throw TestFailure("accepting: \(errno)") }
    return accepted
  }

  func connect() throws -> Int32 { try Self.connect(port: port) }

  static func connect(port: UInt16) throws -> Int32 {
    let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = address(port: port)
    let result = unsafe withUnsafePointer(to: &address) { address in
      unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe Glibc.connect(made, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw TestFailure("connecting: \(errno)") }
    return made
  }

  private static func address(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }
}
