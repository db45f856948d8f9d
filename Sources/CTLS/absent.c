#ifndef SLUICE_TLS

// A build without TLS: nobody gets credentials, and so nobody a session.
#include "CSluiceTLS.h"

int sluice_tls_credentials_make(struct sluice_tls_credentials **credentials) {
  (void)credentials;
  return SLUICE_TLS_ABSENT;
}

void sluice_tls_credentials_free(struct sluice_tls_credentials *credentials) { (void)credentials; }

int sluice_tls_trust(struct sluice_tls_credentials *credentials, const void *pem, size_t count) {
  (void)credentials, (void)pem, (void)count;
  return SLUICE_TLS_ABSENT;
}

int sluice_tls_trust_system(struct sluice_tls_credentials *credentials) {
  (void)credentials;
  return SLUICE_TLS_ABSENT;
}

int sluice_tls_revoke(struct sluice_tls_credentials *credentials, const void *pem, size_t count) {
  return sluice_tls_trust(credentials, pem, count);
}

int sluice_tls_set_certificate(struct sluice_tls_credentials *credentials, const void *certificate,
                               size_t certificate_count, const void *key, size_t key_count,
                               enum sluice_tls_fault *fault) {
  (void)credentials, (void)certificate, (void)certificate_count, (void)key, (void)key_count;
  *fault = SLUICE_TLS_FAULT_NONE;
  return SLUICE_TLS_ABSENT;
}

void sluice_tls_wipe(void *bytes, size_t count) { (void)bytes, (void)count; }

int sluice_tls_session_make(enum sluice_tls_role role, struct sluice_tls_credentials *credentials, int descriptor,
                            const char *peer_name, struct sluice_tls_session **session) {
  (void)role, (void)credentials, (void)descriptor, (void)peer_name, (void)session;
  return SLUICE_TLS_ABSENT;
}

void sluice_tls_session_free(struct sluice_tls_session *session) { (void)session; }

int sluice_tls_handshake(struct sluice_tls_session *session, int64_t timeout) {
  (void)session, (void)timeout;
  return SLUICE_TLS_ABSENT;
}

ssize_t sluice_tls_receive(struct sluice_tls_session *session, void *bytes, size_t count, int64_t timeout) {
  (void)session, (void)bytes, (void)count, (void)timeout;
  return SLUICE_TLS_ABSENT;
}

int sluice_tls_send(struct sluice_tls_session *session, const void *bytes, size_t count, int64_t timeout) {
  (void)session, (void)bytes, (void)count, (void)timeout;
  return SLUICE_TLS_ABSENT;
}

int sluice_tls_end(struct sluice_tls_session *session, bool waits, int64_t timeout) {
  (void)session, (void)waits, (void)timeout;
  return SLUICE_TLS_ABSENT;
}

size_t sluice_tls_pending(struct sluice_tls_session *session) {
  (void)session;
  return 0;
}

ssize_t sluice_tls_peer_common_name(struct sluice_tls_session *session, char *name, size_t capacity) {
  (void)session, (void)name, (void)capacity;
  return SLUICE_TLS_ABSENT;
}

int sluice_tls_socket_error(struct sluice_tls_session *session) {
  (void)session;
  return 0;
}

const char *sluice_tls_alert_name(struct sluice_tls_session *session) {
  (void)session;
  return "";
}

ssize_t sluice_tls_verification_text(struct sluice_tls_session *session, char *text, size_t capacity) {
  (void)session, (void)text, (void)capacity;
  return SLUICE_TLS_ABSENT;
}

const char *sluice_tls_error_text(int error) {
  (void)error;
  return "this build of sluice has no TLS";
}

#endif
