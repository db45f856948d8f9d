// What the files of this directory know of a session.
#ifndef SLUICE_TLS_SESSION_INTERNAL_H
#define SLUICE_TLS_SESSION_INTERNAL_H

#include <gnutls/gnutls.h>

#include "sluice_tls_errors.h"
#include "sluice_tls_session.h"

struct sluice_tls_credentials {
  gnutls_certificate_credentials_t held;
};

struct sluice_tls_session {
  gnutls_session_t tls;
  int descriptor;
  /// GnuTLS keeps no copy.
  char *peer_name;
  /// How long the call may wait, in nanoseconds; negative for ever.
  int64_t timeout;
  /// When that is over, on CLOCK_MONOTONIC; 0 until it waits for the first time.
  int64_t deadline;
  /// Whether the time begins anew whenever bytes went out.
  bool renews;
  /// Whether more of the same call follows, for the kernel to make full packets of.
  bool has_more;
  /// Of the first bytes that came, whether they can be TLS.
  bool has_received;
  bool is_no_tls;
  /// What came of the socket in this call.
  bool timed_out;
  bool at_end;
  int socket_error;
};

/// Makes the session ready for a call that may wait for so long.
void begin_call(struct sluice_tls_session *session, int64_t timeout);

/// Lets GnuTLS receive and send by the session's socket.
void set_transport(struct sluice_tls_session *session);

/// Whether GnuTLS only wants to be called again.
bool is_to_be_repeated(const struct sluice_tls_session *session, int error);

/// What an error of GnuTLS' is by our numbers, given what came of the socket.
int explained(const struct sluice_tls_session *session, int error);

/// Tells the peer why the session is over. What does not go out at once is left out.
void tell_why(struct sluice_tls_session *session, int error, int explanation);

#endif
