// Processes of our own that go on when we are killed. Plain C and tiny.
#ifndef HELPER_H
#define HELPER_H

#include <stddef.h>

// What a helper calls, it calls directly: not by way of a table that the loader fills when it comes to it.
#pragma GCC visibility push(hidden)

/// Starts a process that runs `body` with a socket, SOCK_SEQPACKET, whose other end is returned, or -errno.
///
/// It is nobody's child, so nobody need wait for it (who adopts children of others, as a first process does, waits for
/// them in any case); no signal reaches it but SIGKILL; it has no other descriptor; and it has nothing of our memory but
/// the code and the data of the program or library that this is in, of the C library, and of the loader. Where that may
/// be, it is in the first cgroup of all, which nobody freezes or kills, and is spared when memory is short.
///
/// `body` makes system calls (raw.h) and calls nothing of the C library.
int start_helper(const char *name, void (*body)(int socket));

/// Sends a message, with a descriptor if there is one (-1 for none). 0 or -errno: EPIPE when there is no other end.
int send_message(int socket, const void *bytes, size_t length, int file);

/// Receives a message of that length, and the descriptor that comes with it, which is the caller's then; -1 for none.
/// 0 or -errno: EPIPE when there is no other end.
int receive_message(int socket, void *bytes, size_t length, int *file);

#pragma GCC visibility pop

#endif
