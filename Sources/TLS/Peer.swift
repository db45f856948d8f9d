internal import CSluiceLinux
internal import CSluiceTLS
internal import SluiceSystem

/// Whom a session is with, for messages.
struct Peer: CustomStringConvertible, Sendable {
  let role: TLSSession.Role
  /// What the certificate should be for.
  let name: String?

  /// What is being done in a session.
  enum Action {
    case handshake, receiving, sending, closing
  }

  /// Such as "the server 192.0.2.1".
  var description: String {
    let side = role == .client ? "the server" : "the client"
    return name.map { "\(side) \($0)" } ?? side
  }

  /// What went wrong, when a function of CSluiceTLS has returned a negative number.
  func failure(
    of session: OpaquePointer, _ action: Action, returned result: some SignedInteger, timeout: Duration?,
    commonName: String? = nil
  ) -> TLSError {
    switch Int32(result) {
    case SLUICE_TLS_TIMED_OUT.rawValue:
      return TLSError(.timedOut, "\(self) \(delay(action)) within \(timeout.map { "\($0)" } ?? "any time")")
    case SLUICE_TLS_SOCKET_FAILED.rawValue:
      let errno = unsafe SystemErrno(code: sluice_tls_socket_error(session))
      return TLSError(.connection, doing(action), errno: errno)
    case SLUICE_TLS_CUT_OFF.rawValue:
      let hint = action == .handshake ? "; does it use TLS?" : ""
      return TLSError(.connection, "\(doing(action)): it closed the connection\(hint)")
    case SLUICE_TLS_NOT_SPOKEN.rawValue:
      return TLSError(.failed, "\(doing(action)): what it sends is no TLS")
    case SLUICE_TLS_REFUSED.rawValue:
      let reason = unsafe String(cString: sluice_tls_alert_name(session))
      return TLSError(.refused, "\(self) refuses the TLS connection: \(reason)")
    case SLUICE_TLS_UNTRUSTED.rawValue:
      // Whoever we do not trust may have put anything into it.
      let owner = commonName.map { ", \($0.debugDescription)," } ?? ""
      return TLSError(
        .untrusted,
        "the certificate of \(self)\(owner) is not accepted: \(unsafe verificationText(session))")
    case SLUICE_TLS_NO_CERTIFICATE.rawValue:
      return TLSError(.untrusted, "\(self) shows no certificate")
    default:
      return TLSError(.failed, doing(action), returned: result)
    }
  }

  private func doing(_ action: Action) -> String {
    switch action {
    case .handshake: "beginning TLS with \(self)"
    case .receiving: "receiving by TLS from \(self)"
    case .sending: "sending by TLS to \(self)"
    case .closing: "ending TLS with \(self)"
    }
  }

  private func delay(_ action: Action) -> String {
    switch action {
    case .handshake: "did not agree on TLS"
    case .receiving: "sent nothing by TLS"
    case .sending: "took nothing by TLS"
    case .closing: "did not end TLS"
    }
  }

  private func verificationText(_ session: OpaquePointer) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { text in
      let count = unsafe sluice_tls_verification_text(session, text.baseAddress, text.count)
      guard count > 0 else { return "no reason is known" }
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(text)[..<count])
      return TLSError.ended(unsafe String(decoding: bytes, as: UTF8.self))
    }
  }
}
