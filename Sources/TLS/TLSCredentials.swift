internal import CSluiceTLS

/// Our certificate and key, and whom we trust: read once, for any number of sessions on any threads.
@safe
public final class TLSCredentials: Sendable {
  /// Where they are from.
  public let configuration: TLSConfiguration
  /// GnuTLS only reads it, once it is filled.
  nonisolated(unsafe) let handle: OpaquePointer

  /// Reads the files.
  ///
  /// - Throws: `TLSError`: `file`, or `unavailable` where this build of Sluice has no TLS.
  public convenience init(_ configuration: TLSConfiguration = TLSConfiguration()) throws(TLSError) {
    try self.init(configuration, defaults: DefaultFiles())
  }

  init(_ configuration: TLSConfiguration, defaults: DefaultFiles) throws(TLSError) {
    self.configuration = configuration
    var made: OpaquePointer?
    let result = unsafe sluice_tls_credentials_make(&made)
    guard result >= 0, let made = unsafe made else {
      throw TLSError(.failed, "preparing TLS", returned: result)
    }
    unsafe handle = unsafe made
    try trust(defaults)
    try revoke(defaults)
    try identify(defaults)
  }

  deinit {
    unsafe sluice_tls_credentials_free(handle)
  }

  private func trust(_ defaults: DefaultFiles) throws(TLSError) {
    let kind = "CA certificate"
    if let path = configuration.caCertificate {
      try trust(CredentialFile(kind, path: path))
      return
    }
    // GnuTLS tells of a system that keeps no certificates by an error; what is missing then is told below.
    let systemCount = unsafe sluice_tls_trust_system(handle)
    switch try CredentialFile.ifReadable(kind, path: defaults.caCertificate) {
    case .some(let file): try trust(file)
    case .none:
      guard systemCount > 0 else {
        throw TLSError(
          .file,
          "there is no CA certificate to check the peer's by: \(defaults.caCertificate) cannot be read, and the system trusts none"
        )
      }
    }
  }

  private func trust(_ file: borrowing CredentialFile) throws(TLSError) {
    let result = unsafe file.give { unsafe sluice_tls_trust(handle, $0, $1) }
    guard result >= 0 else { throw TLSError(.file, file.title, returned: result) }
  }

  private func revoke(_ defaults: DefaultFiles) throws(TLSError) {
    let kind = "certificate revocation list"
    if let path = configuration.caRevocationList {
      let file = try CredentialFile(kind, path: path)
      // Whoever names a list believes that it changes something.
      guard try revoke(file) > 0 else {
        throw TLSError(.file, "\(file.title) is of no authority that is trusted here")
      }
      return
    }
    switch try CredentialFile.ifReadable(kind, path: defaults.caRevocationList) {
    case .some(let file): _ = try revoke(file)
    case .none: break
    }
  }

  /// How many lists there are of authorities that are trusted.
  private func revoke(_ file: borrowing CredentialFile) throws(TLSError) -> Int32 {
    let result = unsafe file.give { unsafe sluice_tls_revoke(handle, $0, $1) }
    guard result >= 0 else { throw TLSError(.file, file.title, returned: result) }
    return result
  }

  private func identify(_ defaults: DefaultFiles) throws(TLSError) {
    let certificate = try CredentialFile(
      "certificate", path: configuration.certificate ?? defaults.certificate)
    let key = try CredentialFile("private key", path: configuration.key ?? defaults.key)
    var fault = SLUICE_TLS_FAULT_NONE
    let result = unsafe certificate.give { certificateBytes, certificateCount in
      unsafe key.give { keyBytes, keyCount in
        unsafe sluice_tls_set_certificate(
          handle, certificateBytes, certificateCount, keyBytes, keyCount, &fault)
      }
    }
    guard result < 0 else { return }
    let title =
      switch fault {
      case SLUICE_TLS_FAULT_CERTIFICATE: certificate.title
      case SLUICE_TLS_FAULT_KEY: key.title
      default: "\(certificate.title) with \(key.title)"
      }
    throw TLSError(.file, title, returned: result)
  }
}
