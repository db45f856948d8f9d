// Processes of our own that go on when we are killed. Plain C and tiny.
#ifndef HELPER_H
#define HELPER_H

/// Starts a process that runs `body` with a socket, SOCK_SEQPACKET, whose other end is returned, or -errno. It is
/// nobody's child, so nobody need wait for it; no signal reaches it but SIGKILL; and it has no other descriptor.
///
/// In the child of a process with threads: nothing but system calls is allowed in `body`.
int start_helper(const char *name, void (*body)(int socket));

#endif
