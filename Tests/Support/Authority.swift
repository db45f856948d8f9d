import Foundation

/// An authority that makes certificates, with openssl, in a directory of the test's.
public struct Authority: Sendable {
  private let directory: String
  /// What it is called; so are its files.
  public let name: String

  /// Its own certificate.
  public var certificate: String { path("pem") }
  /// The list of those that it has revoked, once there is one.
  public var revocationList: String { path("crl") }

  private var configuration: String { path("cnf") }

  /// Makes an authority.
  public init(_ name: String, in directory: String) async throws {
    self.directory = directory
    self.name = name
    let text = """
      [req]
      distinguished_name = subject
      [subject]
      [ca]
      default_ca = this
      [this]
      database = \(path("index"))
      default_md = sha256
      """
    try text.write(toFile: configuration, atomically: false, encoding: .utf8)
    try Data().write(to: URL(fileURLWithPath: path("index")))
    try await makeCertificate(name, ["-subj", "/CN=\(name)", "-addext", "basicConstraints=critical,CA:TRUE"])
  }

  /// Makes a certificate and its key: NAME.pem and NAME.key in the directory.
  ///
  /// - Parameter owners: whom it is for, such as "DNS:one.test,IP:127.0.0.1".
  public func issue(_ name: String, subject: String, owners: String) async throws -> (
    certificate: String, key: String
  ) {
    try await makeCertificate(
      name,
      ["-subj", subject, "-addext", "subjectAltName=\(owners)", "-CA", certificate, "-CAkey", path("key")])
    return ("\(directory)/\(name).pem", "\(directory)/\(name).key")
  }

  /// Revokes a certificate, and makes the list anew.
  public func revoke(_ certificate: String) async throws {
    try await decide(["-revoke", certificate])
    try await makeRevocationList()
  }

  /// Makes the list of all that was revoked.
  public func makeRevocationList() async throws {
    try await decide(["-gencrl", "-crldays", "2", "-out", revocationList])
  }

  private func path(_ kind: String) -> String { "\(directory)/\(name).\(kind)" }

  private func decide(_ arguments: [String]) async throws {
    let ours = ["-config", configuration, "-cert", certificate, "-keyfile", path("key")]
    try await openssl(["ca"] + ours + arguments)
  }

  private func makeCertificate(_ name: String, _ arguments: [String]) async throws {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    let files = ["-keyout", "\(directory)/\(name).key", "-out", "\(directory)/\(name).pem"]
    try await openssl(
      ["req", "-x509", "-config", configuration, "-days", "2"] + key + files + arguments)
  }

  private func openssl(_ arguments: [String]) async throws {
    let result = try await Command(installed: "openssl", arguments).run()
    guard result.end == .exited(0) else { throw TestFailure("openssl \(arguments): \(result.errors)") }
  }
}
