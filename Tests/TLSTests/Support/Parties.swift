import SluiceTLS
import SluiceTestSupport

/// What the tests of sessions have in common: two authorities, and for each side a certificate of each.
struct Parties: Sendable {
  /// Both trust the first authority, which has signed both.
  let server: TLSConfiguration
  let client: TLSConfiguration
  /// These are signed by the other authority, and trust the first.
  let strangeServer: TLSConfiguration
  let strangeClient: TLSConfiguration
  /// The first authority has revoked this one, and its list says so.
  let revokedClient: TLSConfiguration
  let revocationList: String
  /// The other authority, and its list.
  let otherAuthority: String
  let otherRevocationList: String

  /// Makes them, in a directory that is there while `body` runs.
  static func make<Result>(_ body: (Parties) async throws -> Result) async throws -> Result {
    try await withTemporaryDirectory { directory in
      try await body(Parties(in: directory))
    }
  }

  private init(in directory: String) async throws {
    let authority = try await Authority("authority", in: directory)
    let other = try await Authority("other", in: directory)
    func party(_ name: String, by signer: Authority) async throws -> TLSConfiguration {
      let owners = "DNS:\(name).test,IP:127.0.0.1"
      let made = try await signer.issue(
        "\(name)-by-\(signer.name)", subject: "/O=Test/CN=\(name)", owners: owners)
      return TLSConfiguration(
        caCertificate: authority.certificate, certificate: made.certificate, key: made.key)
    }
    server = try await party("server", by: authority)
    client = try await party("client", by: authority)
    strangeServer = try await party("server", by: other)
    strangeClient = try await party("client", by: other)
    let revoked = try await authority.issue("revoked", subject: "/CN=revoked", owners: "DNS:revoked.test")
    try await authority.revoke(revoked.certificate)
    try await other.makeRevocationList()
    revokedClient = TLSConfiguration(
      caCertificate: authority.certificate, certificate: revoked.certificate, key: revoked.key)
    revocationList = authority.revocationList
    otherAuthority = other.certificate
    otherRevocationList = other.revocationList
  }
}

/// The two of them that trust each other, with their files read.
struct Pair: Sendable {
  let server: TLSCredentials
  let client: TLSCredentials

  private static let made = Task {
    try await Parties.make { parties in
      Pair(server: try TLSCredentials(parties.server), client: try TLSCredentials(parties.client))
    }
  }

  /// Those of all tests: making certificates takes longer than the tests.
  static var shared: Pair {
    get async throws { try await made.value }
  }
}
