// Threads that have a name, and the clock that durations are taken from.
#ifndef SLUICE_THREADS_H
#define SLUICE_THREADS_H

#include <stdint.h>

/// Names the calling thread; the kernel keeps 15 bytes.
void sluice_name_this_thread(const char *name);

/// CLOCK_MONOTONIC in nanoseconds.
uint64_t sluice_monotonic_nanoseconds(void);

#endif
