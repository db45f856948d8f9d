// A process of our own that undoes, should we be killed, what would otherwise outlast us. It is plain C and tiny, and
// has nothing of our memory.
#ifndef SLUICE_GUARD_H
#define SLUICE_GUARD_H

#include <stdint.h>

/// Starts a guard, which ends when the descriptor is closed, or we end. Returns the descriptor that speaks to it, or
/// -errno.
int sluice_guard_start(void);

/// Has the guard write "0" to this file, an open descriptor of which it is given, when we end before `sluice_guard_release`,
/// or when so many milliseconds are over. 0 or -errno; returns when the guard is ready.
int sluice_guard_hold(int guard, int file, int64_t milliseconds);

/// Tells the guard that the file is as it should be. 0 or -errno.
int sluice_guard_release(int guard);

#endif
