import Foundation
import SluiceTestSupport
import Testing

@testable import SluiceTLS

/// The files that certificates and keys come from.
@Suite(.needsTLS) struct CredentialsTests {
  private func complaint(
    _ configuration: TLSConfiguration, defaults: DefaultFiles = DefaultFiles()
  ) -> String? {
    do throws(TLSError) {
      _ = try TLSCredentials(configuration, defaults: defaults)
      return nil
    } catch {
      #expect(error.code == .file)
      return "\(error)"
    }
  }

  @Test func `says which file is missing`() async throws {
    try await Parties.make { parties in
      let fields: [(WritableKeyPath<TLSConfiguration, String?>, String)] = [
        (\.caCertificate, "CA certificate"), (\.caRevocationList, "certificate revocation list"),
        (\.certificate, "certificate"), (\.key, "private key"),
      ]
      for (field, title) in fields {
        var configuration = parties.server
        configuration[keyPath: field] = "/nowhere/file.pem"
        #expect(
          complaint(configuration)
            == "reading the \(title) /nowhere/file.pem: ENOENT (No such file or directory)")
        configuration[keyPath: field] = "/"
        #expect(complaint(configuration) == "reading the \(title) /: EISDIR (Is a directory)")
      }
    }
  }

  @Test func `says which file is not what it should be`() async throws {
    try await withTemporaryDirectory { directory in
      let text = "\(directory)/text"
      try "no certificate\n".write(toFile: text, atomically: false, encoding: .utf8)
      let empty = "\(directory)/empty"
      try Data().write(to: URL(fileURLWithPath: empty))
      try await Parties.make { parties in
        let fields: [(WritableKeyPath<TLSConfiguration, String?>, String)] = [
          (\.caCertificate, "CA certificate"), (\.caRevocationList, "certificate revocation list"),
          (\.certificate, "certificate"), (\.key, "private key"),
        ]
        for (field, title) in fields {
          for path in [text, empty, parties.server.key] where field != \.key || path != parties.server.key {
            var configuration = parties.server
            configuration[keyPath: field] = path
            let complaint = complaint(configuration)
            #expect(complaint?.hasPrefix("the \(title) \(path ?? ""): ") == true, "\(complaint ?? "none")")
            #expect(complaint?.contains("\n") == false)
          }
        }
      }
    }
  }

  @Test func `a key of another certificate is refused`() async throws {
    try await Parties.make { parties in
      var configuration = parties.server
      configuration.key = parties.client.key
      let (certificate, key) = (parties.server.certificate ?? "", parties.client.key ?? "")
      #expect(
        complaint(configuration)
          == "the certificate \(certificate) with the private key \(key): The certificate and the given key do not match"
      )
    }
  }

  /// A list of another authority would be of no use, and whoever gives one believes that it is.
  @Test func `a revocation list of an authority that is not trusted is refused`() async throws {
    try await Parties.make { parties in
      var configuration = parties.server
      configuration.caRevocationList = parties.otherRevocationList
      #expect(
        complaint(configuration)
          == "the certificate revocation list \(parties.otherRevocationList) is of no authority that is trusted here"
      )
    }
  }

  @Test func `files that are too long are not read to their end`() async throws {
    try await Parties.make { parties in
      var configuration = parties.server
      configuration.key = "/dev/zero"
      #expect(complaint(configuration) == "the private key /dev/zero has more than 64 MiB")
    }
  }

  @Test func `what is not named is where CRIU has it`() {
    let defaults = DefaultFiles()
    #expect(defaults.caCertificate == "/etc/pki/CA/cacert.pem")
    #expect(defaults.caRevocationList == "/etc/pki/CA/cacrl.pem")
    #expect(defaults.certificate == "/etc/pki/criu/cert.pem")
    #expect(defaults.key == "/etc/pki/criu/private/key.pem")
  }

  @Test func `files that are not named are taken if they are there`() async throws {
    try await Parties.make { parties in
      var defaults = DefaultFiles()
      defaults.caCertificate = parties.server.caCertificate ?? ""
      defaults.certificate = parties.server.certificate ?? ""
      defaults.key = parties.server.key ?? ""
      defaults.caRevocationList = "/nowhere/crl.pem"
      #expect(complaint(TLSConfiguration(), defaults: defaults) == nil)
      // Whatever is there must do.
      defaults.caRevocationList = defaults.key
      #expect(complaint(TLSConfiguration(), defaults: defaults)?.contains("revocation list") == true)
      defaults.caRevocationList = "/nowhere/crl.pem"
      defaults.key = "/nowhere/key.pem"
      #expect(
        complaint(TLSConfiguration(), defaults: defaults)
          == "reading the private key /nowhere/key.pem: ENOENT (No such file or directory)")
    }
  }

  /// The files that are not named, in use.
  @Test func `the default authority and its revocation list count`() async throws {
    try await Parties.make { parties in
      var defaults = DefaultFiles()
      defaults.caCertificate = parties.server.caCertificate ?? ""
      defaults.certificate = parties.server.certificate ?? ""
      defaults.key = parties.server.key ?? ""
      for (list, isAccepted) in [("/nowhere/crl.pem", true), (parties.revocationList, false)] {
        defaults.caRevocationList = list
        let server = try TLSCredentials(TLSConfiguration(), defaults: defaults)
        let client = try TLSCredentials(parties.revokedClient)
        let connection = try Connection()
        async let clientFailure = failure {
          try await connection.session(.client, client) { session in
            _ = try session.receive()
          }
        }
        let error = try await failure {
          try await connection.session(.server, server) { try $0.close(waitsForPeer: false, timeout: nil) }
        }
        let clientError = try await clientFailure
        #expect((error == nil) == isAccepted, "\(String(describing: error))")
        #expect((clientError == nil) == isAccepted, "\(String(describing: clientError))")
      }
    }
  }

  /// The certificate of an authority that is named is all that counts.
  @Test func `an authority that is named is the only one`() async throws {
    try await Parties.make { parties in
      var defaults = DefaultFiles()
      defaults.caCertificate = parties.server.caCertificate ?? ""
      var configuration = parties.server
      configuration.caCertificate = parties.otherAuthority
      let server = try TLSCredentials(configuration, defaults: defaults)
      let client = try TLSCredentials(parties.client)
      let connection = try Connection()
      async let clientFailure = failure {
        try await connection.session(.client, client) { _ = try $0.receive() }
      }
      let error = try await failure { try await connection.session(.server, server) { _ in } }
      let clientError = try await clientFailure
      #expect(error?.code == .untrusted)
      #expect(clientError?.code == .refused)
    }
  }
}
