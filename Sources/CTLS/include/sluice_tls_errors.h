// What goes wrong, beside what GnuTLS has numbers for.
#ifndef SLUICE_TLS_ERRORS_H
#define SLUICE_TLS_ERRORS_H

/// Numbers of the range that GnuTLS leaves to programs (GNUTLS_E_APPLICATION_ERROR_MAX).
enum sluice_tls_error {
  /// This build has no TLS.
  SLUICE_TLS_ABSENT = -65001,
  /// The peer kept us waiting for longer than it may.
  SLUICE_TLS_TIMED_OUT = -65002,
  /// The socket failed: `sluice_tls_socket_error` tells how.
  SLUICE_TLS_SOCKET_FAILED = -65003,
  /// The connection ended and the peer had not said before that it would.
  SLUICE_TLS_CUT_OFF = -65004,
  /// The peer's certificate is not accepted: `sluice_tls_verification_text` tells why.
  SLUICE_TLS_UNTRUSTED = -65005,
  /// The peer ended the session for a reason of its own: `sluice_tls_alert_name` tells it.
  SLUICE_TLS_REFUSED = -65006,
  /// What the peer sends first is no TLS.
  SLUICE_TLS_NOT_SPOKEN = -65007,
  /// The peer shows no certificate, and has to.
  SLUICE_TLS_NO_CERTIFICATE = -65008,
};

/// What GnuTLS says of one of its numbers, such as "Base64 decoding error.".
const char *sluice_tls_error_text(int error);

#endif
