#define _GNU_SOURCE
#include "sluice_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int sluice_packet_peer(int socket) {
  int domain = 0, type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) return -errno;
  size = sizeof type;
  if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return -errno;
  if (domain != AF_UNIX || type != SOCK_SEQPACKET) return -EPROTOTYPE;
  struct ucred peer;
  size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -errno;
  return peer.pid > 0 ? peer.pid : -ESRCH;
}

ssize_t sluice_packet_peek(int socket, void *bytes, size_t capacity) {
  ssize_t length = TEMP_FAILURE_RETRY(recv(socket, bytes, capacity, MSG_PEEK | MSG_TRUNC));
  return length < 0 ? -errno : length;
}

int sluice_packet_drop(int socket) {
  char byte;
  return TEMP_FAILURE_RETRY(recv(socket, &byte, sizeof byte, 0)) < 0 ? -errno : 0;
}

int sluice_packet_send(int socket, const void *bytes, size_t count) {
  // Packets go as a whole or not at all.
  return TEMP_FAILURE_RETRY(send(socket, bytes, count, MSG_NOSIGNAL)) < 0 ? -errno : 0;
}

int sluice_packet_pair(int sockets[2]) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 ? -errno : 0;
}
