import Foundation
import SluiceTLS
import SluiceTestSupport
import Testing

/// With another implementation of TLS at the other end.
@Suite(.needsTLS) struct OpenSSLTests {
  private static let versions = ["-tls1_2", "-tls1_3"]

  private func identity(_ party: TLSConfiguration) -> [String] {
    ["-cert", party.certificate ?? "", "-key", party.key ?? "", "-CAfile", party.caCertificate ?? ""]
  }

  /// Runs `body` with openssl's client, whose lines go to a server of ours.
  private func withClient<Result: Sendable>(
    _ arguments: [String], server: TLSConfiguration, peerName: String? = nil,
    session: @escaping @Sendable (inout TLSSession) throws -> Result, _ body: (Program) async throws -> Void
  ) async throws -> Result {
    let credentials = try TLSCredentials(server)
    let listener = try Listener()
    var command = try Command(
      installed: "openssl", ["s_client", "-connect", "127.0.0.1:\(listener.port)"] + arguments)
    command.hasInput = true
    command.output = .lines
    return try await withProgram(command) { program in
      async let result = blocking {
        let descriptor = try listener.accept()
        defer { close(descriptor) }
        var made = try TLSSession(
          .server, credentials: credentials, descriptor: descriptor, peerName: peerName,
          handshakeTimeout: longestWait)
        return try session(&made)
      }
      do {
        try await body(program)
      } catch let error as TestFailure {
        // What the session has ended with tells more.
        _ = try await result
        throw error
      }
      return try await result
    }
  }

  @Test(arguments: versions) func `its client talks with our server`(version: String) async throws {
    try await Parties.make { parties in
      let arguments = [version, "-verify_return_error", "-quiet"] + identity(parties.client)
      let heard = try await withClient(arguments, server: parties.server, peerName: "client.test") {
        session in
        let heard = try session.receiveText()
        try session.send("welcome \(session.peerCommonName ?? "")\n")
        try session.close(waitsForPeer: true, timeout: longestWait)
        #expect(session.endedCleanly == true)
        return heard
      } _: { program in
        try program.write(line: "hello")
        #expect(try await program.nextLine() == "welcome client")
        #expect(try await program.result().end == .exited(0))
      }
      #expect(heard == "hello\n")
    }
  }

  @Test(arguments: versions) func `a client without a certificate is refused`(version: String) async throws {
    try await Parties.make { parties in
      let arguments = [version, "-quiet", "-CAfile", parties.server.caCertificate ?? ""]
      let error = try await failure {
        try await withClient(arguments, server: parties.server) { _ in
        } _: { program in
          let result = try await program.result()
          #expect(result.errors.contains("alert"), "it is told: \(result.errors)")
        }
      }
      #expect(error?.code == .untrusted)
      #expect(error?.description == "the client shows no certificate")
    }
  }

  @Test(arguments: versions) func `our client talks with its server`(version: String) async throws {
    try await Parties.make { parties in
      let arguments =
        [
          "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-rev", "-Verify", "1",
          "-verify_return_error",
        ]
      var command = try Command(installed: "openssl", arguments + [version] + identity(parties.server))
      command.output = .lines
      try await withProgram(command) { program in
        var line = ""
        while !line.hasPrefix("ACCEPT 127.0.0.1:") { line = try await program.nextLine() }
        let port = try #require(UInt16(line.dropFirst("ACCEPT 127.0.0.1:".count)))
        let credentials = try TLSCredentials(parties.client)
        let heard = try await blocking {
          let descriptor = try Listener.connect(port: port)
          defer { close(descriptor) }
          var session = try TLSSession(
            .client, credentials: credentials, descriptor: descriptor, peerName: "server.test",
            handshakeTimeout: longestWait)
          #expect(session.peerCommonName == "server", "its subject")
          try session.send("hello\n")
          let heard = try session.receiveText()
          try session.close(waitsForPeer: true, timeout: longestWait)
          return heard
        }
        #expect(heard == "olleh\n")
      }
    }
  }

  /// Ours are changed with the peer's, when it asks for that.
  @Test func `keys can be changed`() async throws {
    try await Parties.make { parties in
      let heard = try await withClient(
        ["-tls1_3", "-brief"] + identity(parties.client), server: parties.server
      ) { session in
        var heard = ""
        while !heard.contains(".") {
          heard += try session.receiveText()
          try session.send("\(heard.count)\n")
        }
        return heard
      } _: { program in
        try program.write(line: "before")
        #expect(try await program.nextLine() == "7")
        // An update that asks for ours, and one that does not.
        try program.write(line: "K")
        // The program takes for a command what a block of its input begins with.
        try await Task.sleep(for: .milliseconds(100))
        try program.write(line: "k")
        try await Task.sleep(for: .milliseconds(100))
        try program.write(line: "after.")
        #expect(try await program.nextLine() == "14")
        #expect(try program.errorsSoFar().components(separatedBy: "KEYUPDATE").count == 3)
      }
      #expect(heard == "before\nafter.\n")
    }
  }

  /// By TLS 1.2 a peer may ask for a session to be begun anew, with another certificate perhaps. Ours end then.
  @Test func `nothing is negotiated anew`() async throws {
    try await Parties.make { parties in
      let error = try await withClient(
        ["-tls1_2", "-brief"] + identity(parties.client), server: parties.server
      ) { session throws -> TLSError? in
        #expect(try session.receiveText() == "before\n")
        try session.send("heard\n")
        do throws(TLSError) { _ = try session.receive() } catch { return error }
        return nil
      } _: { program in
        try program.write(line: "before")
        #expect(try await program.nextLine() == "heard")
        try program.write(line: "R")
        let result = try await program.result()
        #expect(result.errors.contains("no renegotiation"), "\(result.errors)")
      }
      #expect(error?.code == .failed)
      #expect(error?.description == "receiving by TLS from the client: Rehandshake was requested by the peer")
    }
  }
}
