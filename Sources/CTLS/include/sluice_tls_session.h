// A session over a connected socket, for one thread at a time. Waiting is done here with poll(2), whether the socket is
// blocking or not; shutdown(2) by any other thread ends it.
//
// Time limits are in nanoseconds; a negative one is none.
#ifndef SLUICE_TLS_SESSION_H
#define SLUICE_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sluice_tls_credentials.h"

struct sluice_tls_session;

enum sluice_tls_role {
  /// The side that has connected.
  SLUICE_TLS_CLIENT = 0,
  /// The side that has accepted the connection.
  SLUICE_TLS_SERVER = 1,
};

/// Makes a session, of which nothing is sent yet. The credentials and the socket must outlive it.
///
/// `peer_name` is the host name or address that the peer's certificate must be for; NULL where that is not checked.
int sluice_tls_session_make(enum sluice_tls_role role, struct sluice_tls_credentials *credentials, int descriptor,
                            const char *peer_name, struct sluice_tls_session **session);

/// Frees what the session has. It sends nothing, and leaves the socket open.
void sluice_tls_session_free(struct sluice_tls_session *session);

/// Agrees with the peer on keys, and looks at its certificate. The whole of it may take no longer than `timeout`. On failure
/// the peer is told why, as far as that goes without waiting.
int sluice_tls_handshake(struct sluice_tls_session *session, int64_t timeout);

/// Takes what the peer has sent, at most one record. The whole of it may take no longer than `timeout`; after
/// SLUICE_TLS_TIMED_OUT it can be tried again.
///
/// Returns how many bytes there are, 0 where the peer has ended the session in order.
ssize_t sluice_tls_receive(struct sluice_tls_session *session, void *bytes, size_t count, int64_t timeout);

/// Sends all bytes, in records of at most 16 KiB that hold nothing else. The connection may take none of them for no longer
/// than `timeout`. After a failure nothing more can be sent.
int sluice_tls_send(struct sluice_tls_session *session, const void *bytes, size_t count, int64_t timeout);

/// Tells the peer that nothing more will be sent. With `waits` it then waits until the peer has said so too, and drops what
/// else it sends; the whole of it may take no longer than `timeout`.
int sluice_tls_end(struct sluice_tls_session *session, bool waits, int64_t timeout);

/// How many bytes can be taken without a look at the socket.
size_t sluice_tls_pending(struct sluice_tls_session *session);

/// The name in the subject of the peer's certificate (CN). One that does not fit is an error.
///
/// Returns its length. Whoever made the certificate has chosen it, and it may have any bytes in it.
ssize_t sluice_tls_peer_common_name(struct sluice_tls_session *session, char *name, size_t capacity);

/// After SLUICE_TLS_SOCKET_FAILED: the kernel's error number, positive.
int sluice_tls_socket_error(struct sluice_tls_session *session);

/// After SLUICE_TLS_REFUSED: how the standard calls the peer's reason, such as "CA is unknown".
const char *sluice_tls_alert_name(struct sluice_tls_session *session);

/// After SLUICE_TLS_UNTRUSTED: what is wrong with the peer's certificate, in sentences of GnuTLS'. Returns the length of the
/// text, of which no more than `capacity` bytes are kept; no terminator is written.
ssize_t sluice_tls_verification_text(struct sluice_tls_session *session, char *text, size_t capacity);

#endif
