// Processes of our own that go on when we are killed. Plain C and tiny.
#ifndef HELPER_H
#define HELPER_H

#include <stddef.h>

/// Starts a process that runs `body` with a socket, SOCK_SEQPACKET, whose other end is returned, or -errno. It is
/// nobody's child, so nobody need wait for it; no signal reaches it but SIGKILL; and it has no other descriptor.
///
/// In the child of a process with threads: nothing but system calls is allowed in `body`.
int start_helper(const char *name, void (*body)(int socket));

/// Sends a message, with a descriptor if there is one (-1 for none). 0 or -errno: EPIPE when there is no other end.
int send_message(int socket, const void *bytes, size_t length, int file);

/// Receives a message of that length, and the descriptor that comes with it, which is the caller's then; -1 for none.
/// 0 or -errno: EPIPE when there is no other end.
int receive_message(int socket, void *bytes, size_t length, int *file);

#endif
