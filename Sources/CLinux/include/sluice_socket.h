// Sockets of packets: AF_UNIX, SOCK_SEQPACKET, by which `criu swrk` is spoken to.
#ifndef SLUICE_SOCKET_H
#define SLUICE_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

/// The pid of the process that made the connection, as we see it. -EBADF, -ENOTSOCK or -EPROTOTYPE when the descriptor
/// is no such socket, -ESRCH when the process is none of our pid namespace, or -errno.
int sluice_packet_peer(int socket);

/// Waits for a packet and leaves it there. Returns its length, which may be more than `capacity`; 0 when the other end is
/// closed; or -errno.
ssize_t sluice_packet_peek(int socket, void *bytes, size_t capacity);

/// Takes the packet that is there away. 0 or -errno.
int sluice_packet_drop(int socket);

/// Sends a packet. 0 or -errno: EPIPE when the other end is closed.
int sluice_packet_send(int socket, const void *bytes, size_t count);

/// Makes two sockets that are connected with each other, both close-on-exec. 0 or -errno.
int sluice_packet_pair(int sockets[2]);

#endif
