#ifdef SLUICE_TLS

#define _GNU_SOURCE
#include "session.h"

static ssize_t receive_record(struct sluice_tls_session *session, void *bytes, size_t count) {
  for (;;) {
    ssize_t result = gnutls_record_recv(session->tls, bytes, count);
    if (result >= 0) return result;
    // A record that is empty, or changes keys, makes GnuTLS ask to be called again. A peer that wants to negotiate anew
    // (TLS 1.2), with another certificate perhaps, gets an error.
    if (!is_to_be_repeated(session, (int)result)) return result;
  }
}

ssize_t sluice_tls_receive(struct sluice_tls_session *session, void *bytes, size_t count, int64_t timeout) {
  begin_call(session, timeout);
  ssize_t result = receive_record(session, bytes, count);
  if (result >= 0) return result;
  int explanation = explained(session, (int)result);
  tell_why(session, (int)result, explanation);
  return explanation;
}

/// Why the connection cannot take any more. A peer that refuses our certificate in TLS 1.3 says so only after our
/// handshake, and closes the connection; the alert is then what we have received last.
static int reason_of_peer(struct sluice_tls_session *session, int otherwise) {
  char dropped[4096];
  int socket_error = session->socket_error;
  ssize_t result;
  begin_call(session, 0);
  do {
    result = receive_record(session, dropped, sizeof dropped);
  } while (result > 0);
  if (result == GNUTLS_E_FATAL_ALERT_RECEIVED) return SLUICE_TLS_REFUSED;
  session->socket_error = socket_error;
  return otherwise;
}

int sluice_tls_send(struct sluice_tls_session *session, const void *bytes, size_t count, int64_t timeout) {
  begin_call(session, timeout);
  session->renews = true;
  size_t record = gnutls_record_get_max_size(session->tls);
  size_t done = 0;
  while (done < count) {
    session->has_more = count - done > record;
    ssize_t result;
    do {
      result = gnutls_record_send(session->tls, (const char *)bytes + done, count - done);
    } while (is_to_be_repeated(session, (int)result));
    if (result < 0) {
      int error = explained(session, (int)result);
      return error == SLUICE_TLS_SOCKET_FAILED ? reason_of_peer(session, error) : error;
    }
    done += (size_t)result;
  }
  return 0;
}

int sluice_tls_end(struct sluice_tls_session *session, bool waits, int64_t timeout) {
  begin_call(session, timeout);
  char dropped[4096];
  ssize_t result;
  do {
    result = gnutls_bye(session->tls, GNUTLS_SHUT_WR);
  } while (is_to_be_repeated(session, (int)result));
  // GnuTLS' own way to wait takes a connection that is cut for one that has ended.
  if (result >= 0 && waits) {
    do {
      result = receive_record(session, dropped, sizeof dropped);
    } while (result > 0);
  }
  return result < 0 ? explained(session, (int)result) : 0;
}

size_t sluice_tls_pending(struct sluice_tls_session *session) { return gnutls_record_check_pending(session->tls); }

#endif
