#ifdef SLUICE_TLS

#include "session.h"

/// The alert that says best what is wrong with a certificate; GnuTLS has one for all.
static gnutls_alert_description_t alert_for(unsigned status) {
  if (status & GNUTLS_CERT_REVOKED) return GNUTLS_A_CERTIFICATE_REVOKED;
  if (status & GNUTLS_CERT_SIGNER_NOT_FOUND) return GNUTLS_A_UNKNOWN_CA;
  if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED)) return GNUTLS_A_CERTIFICATE_EXPIRED;
  return GNUTLS_A_BAD_CERTIFICATE;
}

void tell_why(struct sluice_tls_session *session, int error, int explanation) {
  switch (explanation) {
    // Whoever has gone, or does not answer, needs no reason.
    case SLUICE_TLS_SOCKET_FAILED:
    case SLUICE_TLS_TIMED_OUT:
    case SLUICE_TLS_CUT_OFF:
    case SLUICE_TLS_REFUSED:
      return;
    default:
      break;
  }
  struct sluice_tls_session result = *session;
  begin_call(session, 0);
  if (error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
    gnutls_alert_send(session->tls, GNUTLS_AL_FATAL, alert_for(gnutls_session_get_verify_cert_status(session->tls)));
  } else {
    gnutls_alert_send_appropriate(session->tls, error);
  }
  session->timed_out = result.timed_out;
  session->at_end = result.at_end;
  session->socket_error = result.socket_error;
}

#endif
