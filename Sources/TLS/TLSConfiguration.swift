/// The files that TLS takes certificates and keys from, as CRIU's options name them. All are in PEM.
public struct TLSConfiguration: Hashable, Sendable {
  /// The authorities that the peer's certificate must come from, and no others: `--tls-cacert`. Nil for those that the
  /// system trusts, and /etc/pki/CA/cacert.pem if that can be read.
  public var caCertificate: String?
  /// The certificates that the authorities have revoked: `--tls-cacrl`. Nil for /etc/pki/CA/cacrl.pem if that can be read.
  public var caRevocationList: String?
  /// Our own certificate, with those between it and the authority behind it: `--tls-cert`. Nil for
  /// /etc/pki/criu/cert.pem.
  public var certificate: String?
  /// Its private key: `--tls-key`. Nil for /etc/pki/criu/private/key.pem.
  public var key: String?
  /// Whether a certificate that is for another name than the peer's is refused; CRIU's `--tls-no-cn-verify` is false here.
  public var verifiesName: Bool

  /// Files for TLS; CRIU's own where none is named.
  public init(
    caCertificate: String? = nil, caRevocationList: String? = nil, certificate: String? = nil,
    key: String? = nil, verifiesName: Bool = true
  ) {
    self.caCertificate = caCertificate
    self.caRevocationList = caRevocationList
    self.certificate = certificate
    self.key = key
    self.verifiesName = verifiesName
  }
}

/// The files that are taken where none is named: CRIU's.
struct DefaultFiles {
  var caCertificate = "/etc/pki/CA/cacert.pem"
  var caRevocationList = "/etc/pki/CA/cacrl.pem"
  var certificate = "/etc/pki/criu/cert.pem"
  var key = "/etc/pki/criu/private/key.pem"
}
