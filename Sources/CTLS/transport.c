#ifdef SLUICE_TLS

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "session.h"

enum { SECOND = 1000000000 };

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

void begin_call(struct sluice_tls_session *session, int64_t timeout) {
  session->timeout = timeout;
  session->deadline = 0;
  session->renews = false;
  session->has_more = false;
  session->timed_out = false;
  session->at_end = false;
  session->socket_error = 0;
}

/// Waits until the socket may have something to say. Returns 0, ETIMEDOUT, or the kernel's reason.
static int wait_for(struct sluice_tls_session *session, short events) {
  struct pollfd watched = {.fd = session->descriptor, .events = events};
  if (session->deadline == 0 && session->timeout >= 0) {
    int64_t start = now();
    session->deadline = session->timeout < INT64_MAX - start ? start + session->timeout : INT64_MAX;
  }
  for (;;) {
    struct timespec left = {0}, *limit = NULL;
    if (session->timeout >= 0) {
      int64_t nanoseconds = session->deadline - now();
      if (nanoseconds < 0) nanoseconds = 0;
      left = (struct timespec){.tv_sec = nanoseconds / SECOND, .tv_nsec = nanoseconds % SECOND};
      limit = &left;
    }
    int ready = ppoll(&watched, 1, limit, NULL);
    // A socket that has failed or was shut down is ready, too: the next call on it tells.
    if (ready > 0) return 0;
    if (ready == 0) return ETIMEDOUT;
    if (errno != EINTR) return errno;
  }
}

/// Tells GnuTLS to give up: EAGAIN leaves the session as it is, anything else is the socket's end.
static ssize_t give_up(struct sluice_tls_session *session, int error) {
  if (error == ETIMEDOUT) {
    session->timed_out = true;
    error = EAGAIN;
  } else {
    session->socket_error = error;
  }
  gnutls_transport_set_errno(session->tls, error);
  return -1;
}

/// A side without TLS is a mistake that is made often, and GnuTLS has many errors for it.
static void look_at_first(struct sluice_tls_session *session, const unsigned char *bytes) {
  enum { ALERT = 21, HANDSHAKE = 22 };  // The types of records: RFC 8446, 5.1.
  session->has_received = true;
  session->is_no_tls = bytes[0] != ALERT && bytes[0] != HANDSHAKE;
}

static ssize_t pull(gnutls_transport_ptr_t context, void *bytes, size_t count) {
  struct sluice_tls_session *session = context;
  for (;;) {
    // First without waiting: where the peer is the faster one there is always something.
    ssize_t done = recv(session->descriptor, bytes, count, MSG_DONTWAIT);
    if (done > 0) {
      if (!session->has_received) look_at_first(session, bytes);
      return done;
    }
    if (done == 0) {
      session->at_end = true;
      return 0;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return give_up(session, errno);
    int error = wait_for(session, POLLIN);
    if (error != 0) return give_up(session, error);
  }
}

static ssize_t push(gnutls_transport_ptr_t context, const void *bytes, size_t count) {
  struct sluice_tls_session *session = context;
  int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (session->has_more ? MSG_MORE : 0);
  size_t done = 0;
  while (done < count) {
    ssize_t sent = send(session->descriptor, (const char *)bytes + done, count - done, flags);
    if (sent >= 0) {
      done += (size_t)sent;
      if (session->renews) session->deadline = 0;
      continue;
    }
    if (errno == EINTR) continue;
    int error = errno == EAGAIN ? wait_for(session, POLLOUT) : errno;
    if (error == 0) continue;
    ssize_t result = give_up(session, error);
    // GnuTLS is to know of those that are gone.
    return done > 0 ? (ssize_t)done : result;
  }
  return (ssize_t)done;
}

/// GnuTLS asks for this where it wants to look whether there is something and has no time limit of its own.
static int pull_timeout(gnutls_transport_ptr_t context, unsigned milliseconds) {
  struct sluice_tls_session *session = context;
  struct pollfd watched = {.fd = session->descriptor, .events = POLLIN};
  int limit = milliseconds > INT32_MAX ? -1 : (int)milliseconds;
  int ready;
  while ((ready = poll(&watched, 1, limit)) < 0 && errno == EINTR) {
  }
  return ready;
}

void set_transport(struct sluice_tls_session *session) {
  gnutls_transport_set_ptr(session->tls, session);
  gnutls_transport_set_pull_function(session->tls, pull);
  gnutls_transport_set_push_function(session->tls, push);
  gnutls_transport_set_pull_timeout_function(session->tls, pull_timeout);
}

bool is_to_be_repeated(const struct sluice_tls_session *session, int error) {
  switch (error) {
    case GNUTLS_E_AGAIN:
    case GNUTLS_E_INTERRUPTED:
      // The socket is never what it has to come back for, but when it gave up.
      return !session->timed_out && session->socket_error == 0;
    case GNUTLS_E_WARNING_ALERT_RECEIVED:
      return true;
    default:
      return false;
  }
}

int explained(const struct sluice_tls_session *session, int error) {
  if (error >= 0) return error;
  // What was agreed upon counts more than what became of the connection after it.
  if (error == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) return SLUICE_TLS_UNTRUSTED;
  // By TLS 1.2 and by TLS 1.3.
  if (error == GNUTLS_E_NO_CERTIFICATE_FOUND || error == GNUTLS_E_CERTIFICATE_REQUIRED) return SLUICE_TLS_NO_CERTIFICATE;
  if (error == GNUTLS_E_FATAL_ALERT_RECEIVED) return SLUICE_TLS_REFUSED;
  if (session->is_no_tls) return SLUICE_TLS_NOT_SPOKEN;
  if (session->socket_error != 0) return SLUICE_TLS_SOCKET_FAILED;
  if (session->timed_out) return SLUICE_TLS_TIMED_OUT;
  if (session->at_end) return SLUICE_TLS_CUT_OFF;
  return error;
}

#endif
