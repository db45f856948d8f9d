import Glibc
import SluiceTLS
import SluiceTestSupport
import Testing

/// The ends that a session can come to.
@Suite(.needsTLS) struct EndTests {
  @Test(arguments: [TLSSession.Role.client, .server])
  func `both sides end in order`(first: TLSSession.Role) async throws {
    @Sendable func begin(_ session: inout TLSSession) throws -> Bool {
      try session.send("last words")
      try session.close(waitsForPeer: true, timeout: longestWait)
      #expect(try session.receive() == [])
      return session.endedCleanly
    }
    @Sendable func follow(_ session: inout TLSSession) throws -> Bool {
      #expect(try session.receiveAll() == Array("last words".utf8))
      let ended = session.endedCleanly
      // Dropped by the one who waits for the end alone.
      try session.send("an answer")
      try session.close(waitsForPeer: true, timeout: longestWait)
      return ended
    }
    let connection = try Connection()
    let ended =
      first == .client
      ? try await connection.sessions(client: begin, server: follow)
      : try await connection.sessions(client: follow, server: begin)
    #expect(ended == (true, true))
  }

  @Test func `nothing is sent after the end`() async throws {
    let connection = try Connection()
    let (error, _) = try await connection.sessions { session throws -> TLSError? in
      try session.close(waitsForPeer: false, timeout: longestWait)
      do throws(TLSError) { try session.send("more") } catch { return error }
      return nil
    } server: { session throws in
      #expect(try session.receiveAll() == [])
    }
    #expect(error?.code == .failed)
  }

  /// With a whole record before, and in the middle of one.
  @Test(arguments: [0, 3, 5, 20])
  func `a stream that is cut is no stream that has ended`(bytesOfRecord: Int) async throws {
    let connection = try Connection()
    let (_, server) = try await connection.sessions { [client = connection.client] session in
      try session.send("a part")
      try sendRaw(
        ([23, 3, 3, 0, 40] + [UInt8](repeating: 0, count: 40)).prefix(bytesOfRecord).map(\.self), to: client)
      shutdown(client, Int32(SHUT_WR))
    } server: { session in
      let received = try session.receiveAll()
      #expect(try session.receive() == [], "it stays at its end")
      return (received, session.endedCleanly)
    }
    #expect(server == (Array("a part".utf8), false))
  }

  @Test func `whoever waits for the other's end is told when it does not come`() async throws {
    let connection = try Connection()
    let (endedCleanly, _) = try await connection.sessions { session in
      try session.close(waitsForPeer: true, timeout: longestWait)
      return session.endedCleanly
    } server: { [server = connection.server] session in
      _ = try session.receiveAll()
      shutdown(server, Int32(SHUT_WR))
    }
    #expect(!endedCleanly)
  }

  // MARK: shutdown(2) by another thread

  /// Waits until the thread that `body` runs on has had time to wait, and shuts the socket down.
  private func shutDownSoon(_ descriptor: Int32) async throws {
    try await Task.sleep(for: .milliseconds(100))
    shutdown(descriptor, Int32(SHUT_RDWR))
  }

  @Test(arguments: Connection.Kind.allCases)
  func `receiving ends when the socket is shut down`(kind: Connection.Kind) async throws {
    let connection = try Connection(kind)
    let (isReady, ready) = AsyncStream.makeStream(of: Void.self)
    async let sessions = connection.sessions { session in
      _ = try session.receiveAll()
    } server: { session throws in
      ready.finish()
      #expect(try session.receive(timeout: nil) == [])
      return session.endedCleanly
    }
    for await _ in isReady {}
    try await shutDownSoon(connection.server)
    #expect(try await sessions.server == false)
  }

  @Test(arguments: Connection.Kind.allCases)
  func `sending ends when the socket is shut down`(kind: Connection.Kind) async throws {
    let connection = try Connection(kind)
    let (isReady, ready) = AsyncStream.makeStream(of: Void.self)
    async let sessions = connection.sessions { session in
      ready.finish()
      // Nobody takes so much.
      let bytes = [UInt8](repeating: 1, count: 64 << 20)
      var errors: [TLSError] = []
      for _ in 0..<2 {
        do throws(TLSError) { try session.send(bytes, timeout: nil) } catch { errors.append(error) }
      }
      return errors
    } server: { _ in
      // The socket stays open, and is not read.
    }
    for await _ in isReady {}
    try await shutDownSoon(connection.client)
    let errors = try await sessions.client
    #expect(errors.map(\.code) == [.connection, .connection])
    #expect(errors.first?.description == "sending by TLS to the server: EPIPE (Broken pipe)")
  }

  @Test func `the handshake ends when the socket is shut down`() async throws {
    let pair = try await Pair.shared
    let connection = try Connection()
    async let session = failure {
      try await connection.session(.server, pair.server) { _ in }
    }
    try await shutDownSoon(connection.server)
    let error = try await session
    #expect(error?.code == .connection, "\(String(describing: error))")
  }
}
