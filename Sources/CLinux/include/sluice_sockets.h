// Stream sockets: connections to page servers and from their clients.
#ifndef SLUICE_SOCKETS_H
#define SLUICE_SOCKETS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What `sluice_connect` and `sluice_listen` return for a name that no address is known of; the reason is in `unresolved`.
enum { SLUICE_UNRESOLVED = -10000 };

/// Looks up a host's addresses (getaddrinfo(3)) and connects to the first that answers. The descriptor, which does not
/// block, or -errno, or SLUICE_UNRESOLVED.
///
/// - Parameters:
///   - port: in the byte order of the machine.
///   - milliseconds: how long each address may take; ETIMEDOUT where none answers.
///   - unresolved: room for the reason, of 128 bytes.
int sluice_connect(const char *host, uint16_t port, int64_t milliseconds, char *unresolved);

/// A socket that listens at an address given in numbers; the empty text is any address of IPv4. The descriptor, which
/// does not block, or -errno, or SLUICE_UNRESOLVED.
///
/// - Parameter port: 0 for any that is free.
int sluice_listen(const char *address, uint16_t port, int backlog, char *unresolved);

/// Takes the next connection of a socket that listens (accept4(2)). The descriptor, which does not block, or -errno: EAGAIN
/// where there is none.
int sluice_accept(int listener);

/// The port that a socket is bound to, or -errno: EAFNOSUPPORT where it has none.
int sluice_local_port(int socket);

/// The address that a socket is bound to, in numbers and without its port. `text` has room for 46 bytes. 0 or -errno:
/// EAFNOSUPPORT where it has none.
int sluice_local_host(int socket, char *text);

/// Who is at the other end, as "192.0.2.1:4711" or "[2001:db8::1]:4711"; a local socket's is "local". `text` has room for
/// 80 bytes. 0 or -errno.
int sluice_peer_name(int socket, char *text);

/// Whether a peer's address is one of this machine's loopback, or the socket is local: 1, 0 or -errno.
int sluice_peer_is_loopback(int socket);

/// Whether an address in numbers, or the name "localhost", is one of loopback.
int sluice_is_loopback_address(const char *text);

/// Makes a socket fit for a session: it does not block, sends at once what it is given (TCP_NODELAY), and notices that the
/// peer is gone: by keepalive probes after 30 seconds without a sign, and where it takes nothing for `milliseconds`
/// (TCP_USER_TIMEOUT; 0 leaves that to the kernel). A local socket has none of this. 0 or -errno.
int sluice_prepare_session(int socket, unsigned milliseconds);

/// Whether a descriptor is a socket of a stream: 1, 0 or -errno.
int sluice_is_stream_socket(int descriptor);

/// Receives what there is, waiting for up to so many milliseconds for the first byte (poll(2), recv(2)). The bytes, 0 at the
/// end of the stream, or -errno: ETIMEDOUT.
ssize_t sluice_receive(int socket, void *bytes, size_t count, int64_t milliseconds);

/// Sends all bytes, waiting for up to so many milliseconds each time the peer takes none (poll(2), send(2)). 0 or -errno:
/// ETIMEDOUT.
int sluice_send(int socket, const void *bytes, size_t count, int64_t milliseconds);

/// Sends a header and what follows it, without a copy (sendmsg(2)). Otherwise as `sluice_send`.
int sluice_send_two(
    int socket, const void *first, size_t first_count, const void *second, size_t second_count, int64_t milliseconds);

/// Waits until a socket that listens has a connection, or `other` has something to read (-1 for none). 1, 2 for `other`, 0
/// after so many milliseconds (-1 for no limit), or -errno.
int sluice_wait_for_connection(int listener, int other, int64_t milliseconds);

/// Ends a connection both ways, for whoever waits in it (shutdown(2)).
void sluice_shut_down(int socket);

/// How long a message and its acknowledgement take at present, in microseconds; 0 where that is not known (TCP_INFO).
uint32_t sluice_round_trip_microseconds(int socket);

#endif
