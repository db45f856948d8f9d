internal import SluiceTLS

/// The files that the connection with a page server is encrypted with: X.509 in PEM, as CRIU's options name them. Each side
/// has a certificate, and checks the other's.
public struct PageServerTLS: Hashable, Sendable {
  /// The authorities that the peer's certificate must come from; nil for those that the system trusts, and
  /// /etc/pki/CA/cacert.pem where that can be read.
  public var authorities: String?
  /// The certificates that were revoked; nil for /etc/pki/CA/cacrl.pem where that can be read.
  public var revoked: String?
  /// Our own certificate; nil for /etc/pki/criu/cert.pem.
  public var certificate: String?
  /// Its key; nil for /etc/pki/criu/private/key.pem.
  public var key: String?
  /// Whether a certificate for another name than the peer's is refused.
  public var verifiesName = true

  /// CRIU's own files.
  public init() {}

  /// Reads the files.
  ///
  /// - Throws: `SluiceError`: `notFound` for a file that cannot be used, `invalidArgument` where this build has no TLS.
  func credentials() throws(SluiceError) -> TLSCredentials {
    do throws(TLSError) {
      return try TLSCredentials(
        TLSConfiguration(
          caCertificate: authorities, caRevocationList: revoked, certificate: certificate, key: key,
          verifiesName: verifiesName))
    } catch {
      throw SluiceError(error)
    }
  }
}

extension SluiceError {
  /// Why a connection cannot be encrypted.
  init(_ error: TLSError) {
    let code: Code =
      switch error.code {
      case .unavailable: .invalidArgument
      case .file: .notFound
      case .untrusted, .refused: .notPermitted
      case .failed, .connection, .timedOut: .io
      }
    self.init(code, error.description, errno: error.errno)
  }
}
