internal import CSluiceImages

/// A page server, as container engines speak of it.
public struct EnginePageServer: Hashable, Sendable {
  /// Its name or address.
  public var address: String?
  /// Its port.
  public var port: Int32?
  /// Its process, where it was started for an engine.
  public var pid: Int32?
  /// A connection with it, which the process has that answers the engine.
  public var descriptor: Int32?

  /// One that nothing is known of.
  public init() {}

  init(_ server: Sluice__RpcPageServer) {
    unsafe address = EngineRequest.Options.text(server.address)
    unsafe port = server.has_port != 0 ? server.port : nil
    unsafe pid = server.has_pid != 0 ? server.pid : nil
    unsafe descriptor = server.has_fd != 0 ? server.fd : nil
  }
}

/// How an engine wants the connection with a page server encrypted.
public struct EngineTLS: Hashable, Sendable {
  /// The file of those whose certificates are trusted.
  public var authorities: String?
  /// The file of certificates that are revoked.
  public var revoked: String?
  /// The file of one's own certificate.
  public var certificate: String?
  /// The file of its key.
  public var key: String?
  /// Whether the peer's certificate may have any name.
  public var acceptsAnyName = false

  /// - Returns: nil where it is not to be encrypted.
  init?(_ options: Sluice__RpcOptions) {
    guard unsafe options.tls != 0 else { return nil }
    unsafe authorities = EngineRequest.Options.text(options.tls_cacert)
    unsafe revoked = EngineRequest.Options.text(options.tls_cacrl)
    unsafe certificate = EngineRequest.Options.text(options.tls_cert)
    unsafe key = EngineRequest.Options.text(options.tls_key)
    unsafe acceptsAnyName = options.tls_no_cn_verify != 0
  }
}
