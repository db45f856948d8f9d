#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_files.h"
#include "sluice_sockets.h"
#include "sluice_threads.h"

enum { UNRESOLVED_BYTES = 128, PEER_BYTES = 80, HOST_BYTES = 46 };
enum { KEEPALIVE_IDLE_S = 30, KEEPALIVE_INTERVAL_S = 10, KEEPALIVE_PROBES = 3 };

static int64_t now_ms(void) { return (int64_t)(sluice_monotonic_nanoseconds() / 1000000); }

// 1 when it is ready, 0 after the time, or -errno.
static int wait_ready(int socket, short events, int64_t milliseconds) {
  int64_t deadline = now_ms() + milliseconds;
  for (;;) {
    struct pollfd watched = {.fd = socket, .events = events};
    int64_t left = deadline - now_ms();
    if (left < 0) left = 0;
    int ready = poll(&watched, 1, left > INT32_MAX ? INT32_MAX : (int)left);
    if (ready > 0) return 1;
    if (ready < 0 && errno != EINTR) return -errno;
    if (now_ms() >= deadline) return 0;
  }
}

static int lookup(
    const char *host, uint16_t port, int flags, struct addrinfo **found, char *unresolved) {
  char service[8];
  snprintf(service, sizeof service, "%u", port);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
  int result = getaddrinfo(host, service, &hints, found);
  if (result == 0) return 0;
  if (result == EAI_SYSTEM) return -errno;
  snprintf(unresolved, UNRESOLVED_BYTES, "%s", gai_strerror(result));
  return SLUICE_UNRESOLVED;
}

static int connect_to(const struct addrinfo *address, int64_t milliseconds) {
  int made = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return -errno;
  int error = 0;
  if (connect(made, address->ai_addr, address->ai_addrlen) < 0) {
    error = errno;
    if (error == EINPROGRESS || error == EINTR) {
      int ready = wait_ready(made, POLLOUT, milliseconds);
      socklen_t size = sizeof error;
      if (ready < 0) {
        error = -ready;
      } else if (ready == 0) {
        error = ETIMEDOUT;
      } else if (getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
      }
    }
  }
  if (error == 0) return made;
  close(made);
  return -error;
}

int sluice_connect(const char *host, uint16_t port, int64_t milliseconds, char *unresolved) {
  struct addrinfo *found = NULL;
  int result = lookup(host, port, AI_ADDRCONFIG, &found, unresolved);
  // A machine without a network has loopback all the same.
  if (result == SLUICE_UNRESOLVED) result = lookup(host, port, 0, &found, unresolved);
  if (result < 0) return result;
  result = -EADDRNOTAVAIL;
  for (struct addrinfo *address = found; address != NULL; address = address->ai_next) {
    result = FAULTY_RESULT(SLUICE_FAULT_CONNECT, connect_to(address, milliseconds));
    if (result >= 0) break;
  }
  freeaddrinfo(found);
  return result;
}

int sluice_listen(const char *address, uint16_t port, int backlog, char *unresolved) {
  struct addrinfo *found = NULL;
  int result = lookup(*address ? address : "0.0.0.0", port, AI_PASSIVE | AI_NUMERICHOST, &found, unresolved);
  if (result < 0) return result;
  int made = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  result = made < 0 ? -errno : 0;
  int yes = 1;
  if (result == 0 && setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0) result = -errno;
  if (result == 0 && bind(made, found->ai_addr, found->ai_addrlen) < 0) result = -errno;
  if (result == 0 && listen(made, backlog) < 0) result = -errno;
  freeaddrinfo(found);
  if (result == 0) return made;
  if (made >= 0) close(made);
  return result;
}

int sluice_accept(int listener) {
  int taken = TEMP_FAILURE_RETRY(
      FAULTY(SLUICE_FAULT_ACCEPT, accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)));
  return taken < 0 ? -errno : taken;
}

int sluice_local_port(int socket) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(socket, (struct sockaddr *)&address, &size) < 0) return -errno;
  switch (address.ss_family) {
    case AF_INET: return ntohs(((struct sockaddr_in *)&address)->sin_port);
    case AF_INET6: return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    default: return -EAFNOSUPPORT;
  }
}

static int peer(int socket, struct sockaddr_storage *address) {
  socklen_t size = sizeof *address;
  memset(address, 0, sizeof *address);
  return getpeername(socket, (struct sockaddr *)address, &size) < 0 ? -errno : 0;
}

int sluice_local_host(int socket, char *text) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(socket, (struct sockaddr *)&address, &size) < 0) return -errno;
  switch (address.ss_family) {
    case AF_INET: inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, text, HOST_BYTES); return 0;
    case AF_INET6: inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, text, HOST_BYTES); return 0;
    default: return -EAFNOSUPPORT;
  }
}

int sluice_peer_name(int socket, char *text) {
  struct sockaddr_storage address;
  int result = peer(socket, &address);
  if (result < 0) return result;
  char numbers[INET6_ADDRSTRLEN];
  switch (address.ss_family) {
    case AF_INET: {
      struct sockaddr_in *in = (struct sockaddr_in *)&address;
      inet_ntop(AF_INET, &in->sin_addr, numbers, sizeof numbers);
      snprintf(text, PEER_BYTES, "%s:%u", numbers, ntohs(in->sin_port));
      return 0;
    }
    case AF_INET6: {
      struct sockaddr_in6 *in = (struct sockaddr_in6 *)&address;
      inet_ntop(AF_INET6, &in->sin6_addr, numbers, sizeof numbers);
      snprintf(text, PEER_BYTES, "[%s]:%u", numbers, ntohs(in->sin6_port));
      return 0;
    }
    default: snprintf(text, PEER_BYTES, "local"); return 0;
  }
}

static bool is_loopback(const struct sockaddr_storage *address) {
  switch (address->ss_family) {
    case AF_INET: {
      const struct sockaddr_in *in = (const struct sockaddr_in *)address;
      return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    case AF_INET6: {
      const struct in6_addr *in = &((const struct sockaddr_in6 *)address)->sin6_addr;
      return IN6_IS_ADDR_LOOPBACK(in) || (IN6_IS_ADDR_V4MAPPED(in) && in->s6_addr[12] == IN_LOOPBACKNET);
    }
    default: return address->ss_family == AF_UNIX;
  }
}

int sluice_peer_is_loopback(int socket) {
  struct sockaddr_storage address;
  int result = peer(socket, &address);
  return result < 0 ? result : is_loopback(&address);
}

int sluice_is_loopback_address(const char *text) {
  if (strcmp(text, "localhost") == 0) return 1;
  struct sockaddr_storage address = {.ss_family = AF_INET};
  if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&address)->sin_addr) == 1) return is_loopback(&address);
  address.ss_family = AF_INET6;
  return inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&address)->sin6_addr) == 1 && is_loopback(&address);
}

int sluice_is_stream_socket(int descriptor) {
  int type;
  socklen_t size = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return errno == ENOTSOCK ? 0 : -errno;
  return type == SOCK_STREAM;
}

static int set_option(int socket, int level, int option, int value) {
  return setsockopt(socket, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

int sluice_prepare_session(int socket, unsigned milliseconds) {
  if (sluice_local_port(socket) == -EAFNOSUPPORT) return 0;
  int result = set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  if (result == 0) result = set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  if (result == 0) result = set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
  if (result == 0) result = set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
  if (result == 0) result = set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
  if (result == 0 && milliseconds > 0) {
    result = set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds);
  }
  return result;
}

ssize_t sluice_receive(int socket, void *bytes, size_t count, int64_t milliseconds) {
  for (;;) {
    ssize_t got = FAULTY_COUNT(SLUICE_FAULT_RECEIVE, count, recv(socket, bytes, count, MSG_DONTWAIT));
    if (got >= 0) return got;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return -errno;
    int ready = wait_ready(socket, POLLIN, milliseconds);
    if (ready <= 0) return ready == 0 ? -ETIMEDOUT : ready;
  }
}

static int send_parts(int socket, struct iovec *parts, size_t count, int64_t milliseconds) {
  while (count > 0) {
    if (parts->iov_len == 0) {
      parts++;
      count--;
      continue;
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = FAULTY(SLUICE_FAULT_SEND, sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return -errno;
      int ready = wait_ready(socket, POLLOUT, milliseconds);
      if (ready <= 0) return ready == 0 ? -ETIMEDOUT : ready;
      continue;
    }
    while (sent > 0) {
      size_t part = (size_t)sent < parts->iov_len ? (size_t)sent : parts->iov_len;
      parts->iov_base = (char *)parts->iov_base + part;
      parts->iov_len -= part;
      sent -= (ssize_t)part;
      if (parts->iov_len == 0 && count > 0) {
        parts++;
        count--;
      }
    }
  }
  return 0;
}

int sluice_send(int socket, const void *bytes, size_t count, int64_t milliseconds) {
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
  return send_parts(socket, &part, 1, milliseconds);
}

int sluice_send_two(
    int socket, const void *first, size_t first_count, const void *second, size_t second_count, int64_t milliseconds) {
  struct iovec parts[] = {
      {.iov_base = (void *)first, .iov_len = first_count}, {.iov_base = (void *)second, .iov_len = second_count}};
  return send_parts(socket, parts, 2, milliseconds);
}

int sluice_wait_for_connection(int listener, int other, int64_t milliseconds) {
  struct pollfd watched[] = {{.fd = listener, .events = POLLIN}, {.fd = other, .events = POLLIN}};
  int ready = poll(watched, 2, milliseconds < 0 ? -1 : milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds);
  if (ready < 0) return errno == EINTR ? 0 : -errno;
  return watched[1].revents != 0 ? 2 : watched[0].revents != 0 ? 1 : 0;
}

void sluice_shut_down(int socket) { shutdown(socket, SHUT_RDWR); }

uint32_t sluice_round_trip_microseconds(int socket) {
  struct tcp_info info = {.tcpi_rtt = 0};
  socklen_t size = sizeof info;
  return getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ? 0 : info.tcpi_rtt;
}
