#ifdef SLUICE_TLS

#define _GNU_SOURCE
#include "session.h"

#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

/// What the two sides agree upon is the system's policy, as CRIU has it, and not ours.
static int set_up(struct sluice_tls_session *session, struct sluice_tls_credentials *credentials,
                  enum sluice_tls_role role) {
  int error = gnutls_set_default_priority(session->tls);
  if (error < 0) return error;
  error = gnutls_credentials_set(session->tls, GNUTLS_CRD_CERTIFICATE, credentials->held);
  if (error < 0) return error;
  if (role == SLUICE_TLS_SERVER) {
    gnutls_certificate_server_set_request(session->tls, GNUTLS_CERT_REQUIRE);
    // A client shows its certificate whatever authorities we know, as CRIU's server asks for it: refusing it with a reason
    // is better than a client that believes that it has none.
    gnutls_certificate_send_x509_rdn_sequence(session->tls, 1);
  }
  // GnuTLS calls it in the handshake, as soon as it has the peer's certificate.
  gnutls_session_set_verify_cert(session->tls, session->peer_name, 0);
  set_transport(session);
  return 0;
}

int sluice_tls_session_make(enum sluice_tls_role role, struct sluice_tls_credentials *credentials, int descriptor,
                            const char *peer_name, struct sluice_tls_session **session) {
  struct sluice_tls_session *made = calloc(1, sizeof *made);
  if (made == NULL) return GNUTLS_E_MEMORY_ERROR;
  made->descriptor = descriptor;
  int error = 0;
  if (peer_name != NULL && (made->peer_name = strdup(peer_name)) == NULL) error = GNUTLS_E_MEMORY_ERROR;
  if (error == 0) {
    // Without tickets no session is taken up again, so that each one has seen its peer's certificate.
    unsigned flags = GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL;
    flags |= role == SLUICE_TLS_SERVER ? GNUTLS_SERVER : GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT;
    error = gnutls_init(&made->tls, flags);
  }
  if (error == 0) error = set_up(made, credentials, role);
  if (error < 0) {
    sluice_tls_session_free(made);
    return error;
  }
  *session = made;
  return 0;
}

void sluice_tls_session_free(struct sluice_tls_session *session) {
  if (session->tls != NULL) gnutls_deinit(session->tls);
  free(session->peer_name);
  free(session);
}

int sluice_tls_handshake(struct sluice_tls_session *session, int64_t timeout) {
  begin_call(session, timeout);
  int error;
  do {
    error = gnutls_handshake(session->tls);
  } while (is_to_be_repeated(session, error));
  if (error >= 0) return 0;
  int result = explained(session, error);
  tell_why(session, error, result);
  return result;
}

static int get_common_name(const gnutls_datum_t *certificate, char *name, size_t *size) {
  gnutls_x509_crt_t parsed;
  int error = gnutls_x509_crt_init(&parsed);
  if (error < 0) return error;
  error = gnutls_x509_crt_import(parsed, certificate, GNUTLS_X509_FMT_DER);
  if (error >= 0) error = gnutls_x509_crt_get_dn_by_oid(parsed, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, size);
  gnutls_x509_crt_deinit(parsed);
  return error;
}

ssize_t sluice_tls_peer_common_name(struct sluice_tls_session *session, char *name, size_t capacity) {
  unsigned count = 0;
  const gnutls_datum_t *chain = gnutls_certificate_get_peers(session->tls, &count);
  if (chain == NULL || count == 0) return GNUTLS_E_NO_CERTIFICATE_FOUND;
  size_t size = capacity;
  int error = get_common_name(&chain[0], name, &size);
  return error < 0 ? error : (ssize_t)size;
}

int sluice_tls_socket_error(struct sluice_tls_session *session) { return session->socket_error; }

const char *sluice_tls_alert_name(struct sluice_tls_session *session) {
  const char *name = gnutls_alert_get_name(gnutls_alert_get(session->tls));
  return name != NULL ? name : "an alert that has no name";
}

ssize_t sluice_tls_verification_text(struct sluice_tls_session *session, char *text, size_t capacity) {
  unsigned status = gnutls_session_get_verify_cert_status(session->tls);
  gnutls_datum_t sentences;
  int error = gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &sentences, 0);
  if (error < 0) return error;
  size_t length = sentences.size < capacity ? sentences.size : capacity;
  memcpy(text, sentences.data, length);
  gnutls_free(sentences.data);
  return (ssize_t)length;
}

const char *sluice_tls_error_text(int error) { return gnutls_strerror(error); }

#endif
