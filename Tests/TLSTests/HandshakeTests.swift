import Glibc
import SluiceTLS
import SluiceTestSupport
import Testing

@Suite(.needsTLS) struct HandshakeTests {
  /// What each side has come to: the error that it has ended with, or what the other one has said.
  private enum Outcome: Equatable {
    case heard(String)
    case failed(TLSError.Code, String)
  }

  /// Each side says something and listens to the other one.
  private func meet(
    client: TLSConfiguration, server: TLSConfiguration, serverName: String? = nil, clientName: String? = nil
  ) async throws -> (client: Outcome, server: Outcome) {
    let connection = try Connection()
    let (clientCredentials, serverCredentials) = (try TLSCredentials(client), try TLSCredentials(server))
    @Sendable func meet(
      _ role: TLSSession.Role, _ credentials: TLSCredentials, _ peerName: String?, says text: String
    ) async throws -> Outcome {
      do {
        return try await connection.session(role, credentials, peerName: peerName) { session in
          try session.send(text)
          return .heard(try session.receiveText())
        }
      } catch let error as TLSError {
        return .failed(error.code, "\(error)")
      }
    }
    async let clientOutcome = meet(.client, clientCredentials, serverName, says: "from the client")
    async let serverOutcome = meet(.server, serverCredentials, clientName, says: "from the server")
    return try await (clientOutcome, serverOutcome)
  }

  @Test(arguments: Connection.Kind.allCases)
  func `both sides know whom they talk with`(kind: Connection.Kind) async throws {
    let pair = try await Pair.shared
    let connection = try Connection(kind)
    async let client = connection.session(.client, pair.client, peerName: "server.test") { session in
      try session.send("hello")
      return [session.peerCommonName, try session.receiveText()]
    }
    async let server = connection.session(.server, pair.server, peerName: "client.test") { session in
      try session.send("good day")
      return [session.peerCommonName, try session.receiveText()]
    }
    #expect(try await client == ["server", "good day"])
    #expect(try await server == ["client", "hello"])
  }

  @Test func `a certificate of another authority is refused, with the reason, by the server`() async throws {
    try await Parties.make { parties in
      let (client, server) = try await meet(client: parties.strangeClient, server: parties.server)
      #expect(
        server
          == .failed(
            .untrusted,
            """
            the certificate of the client, "client", is not accepted: \
            The certificate is NOT trusted. The certificate issuer is unknown
            """))
      #expect(client == .failed(.refused, "the server refuses the TLS connection: CA is unknown"))
    }
  }

  @Test func `a certificate of another authority is refused, with the reason, by the client`() async throws {
    try await Parties.make { parties in
      let (client, server) = try await meet(
        client: parties.client, server: parties.strangeServer, serverName: "server.test")
      #expect(
        client
          == .failed(
            .untrusted,
            """
            the certificate of the server server.test, "server", is not accepted: \
            The certificate is NOT trusted. The certificate issuer is unknown
            """))
      #expect(server == .failed(.refused, "the client refuses the TLS connection: CA is unknown"))
    }
  }

  /// By TLS 1.3 the server looks at the client's certificate when the client has its handshake behind it and sends.
  @Test func `a client that only sends is told why the server has gone`() async throws {
    try await Parties.make { parties in
      let connection = try Connection()
      let (client, server) = (try TLSCredentials(parties.strangeClient), try TLSCredentials(parties.server))
      async let refusal = failure {
        defer { connection.close(.server) }
        try await connection.session(.server, server) { _ in }
      }
      let error = try await failure {
        try await connection.session(.client, client) { session in
          while true { try session.send([UInt8](repeating: 1, count: 1 << 20)) }
        }
      }
      #expect(try await refusal?.code == .untrusted)
      #expect(error?.code == .refused)
      #expect(error?.description == "the server refuses the TLS connection: CA is unknown")
    }
  }

  @Test func `a certificate that was revoked is refused`() async throws {
    try await Parties.make { parties in
      var careful = parties.server
      let (_, careless) = try await meet(client: parties.revokedClient, server: careful)
      #expect(careless == .heard("from the client"), "without the list nobody knows")
      careful.caRevocationList = parties.revocationList
      let (client, server) = try await meet(client: parties.revokedClient, server: careful)
      #expect(
        server
          == .failed(
            .untrusted,
            """
            the certificate of the client, "revoked", is not accepted: \
            The certificate is NOT trusted. The certificate chain is revoked
            """))
      #expect(client == .failed(.refused, "the server refuses the TLS connection: Certificate was revoked"))
      let (good, _) = try await meet(client: parties.client, server: careful)
      #expect(good == .heard("from the server"))
    }
  }

  @Test func `both sides check the name, unless they are told not to`() async throws {
    try await Parties.make { parties in
      var (client, server) = (parties.client, parties.server)
      for name in ["server.test", "127.0.0.1"] {
        #expect(
          try await meet(client: client, server: server, serverName: name).client == .heard("from the server")
        )
      }
      for name in ["client.test", "127.0.0.1"] {
        #expect(
          try await meet(client: client, server: server, clientName: name).server == .heard("from the client")
        )
      }
      let reason = "The certificate is NOT trusted. The name in the certificate does not match the expected"
      for name in ["client.test", "127.0.0.2", "server"] {
        let outcome = try await meet(client: client, server: server, serverName: name)
        let message = "the certificate of the server \(name), \"server\", is not accepted: \(reason)"
        #expect(outcome.client == .failed(.untrusted, message))
        #expect(
          outcome.server == .failed(.refused, "the client refuses the TLS connection: Certificate is bad"))
      }
      let outcome = try await meet(client: client, server: server, clientName: "server.test")
      let message = "the certificate of the client server.test, \"client\", is not accepted: \(reason)"
      #expect(outcome.server == .failed(.untrusted, message))
      #expect(
        outcome.client == .failed(.refused, "the server refuses the TLS connection: Certificate is bad"))
      (client.verifiesName, server.verifiesName) = (false, false)
      let lenient = try await meet(client: client, server: server, serverName: "a.test", clientName: "b.test")
      #expect(lenient.client == .heard("from the server"))
      #expect(lenient.server == .heard("from the client"))
    }
  }

  @Test func `a client without TLS is told from one that is broken`() async throws {
    let pair = try await Pair.shared
    let connection = try Connection()
    // As CRIU's page server is asked for a parent.
    async let client = connection.raw(.client) { end in
      try sendRaw([5] + [UInt8](repeating: 0, count: 31), to: end)
      _ = try receiveRaw(1, from: end)
    }
    let error = try await failure {
      try await connection.session(.server, pair.server) { _ in }
    }
    shutdown(connection.server, Int32(SHUT_RDWR))
    try await client
    #expect(error?.code == .failed)
    #expect(error?.description == "beginning TLS with the client: what it sends is no TLS")
  }

  @Test func `a server without TLS is told`() async throws {
    let pair = try await Pair.shared
    let connection = try Connection()
    async let server = connection.raw(.server) { end in _ = try receiveRaw(32, from: end) }
    let error = try await failure {
      try await connection.session(.client, pair.client, peerName: "server.test") { _ in }
    }
    try await server
    #expect(error?.code == .connection)
    #expect(
      error?.description
        == "beginning TLS with the server server.test: it closed the connection; does it use TLS?")
  }
}
