// Threads that have a name, and the clock that durations are taken from.
#ifndef SLUICE_THREADS_H
#define SLUICE_THREADS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/// Starts a thread, which takes none of the signals that the program is sent. 0 or -errno: EAGAIN where a limit on threads is
/// reached.
int sluice_start_thread(pthread_t *thread, void *(*body)(void *), void *context);

/// Names the calling thread; the kernel keeps 15 bytes.
void sluice_name_this_thread(const char *name);

/// Keeps the calling thread on these CPUs. 0 or -errno: EINVAL when none of them is there to be used.
int sluice_pin_this_thread(const uint32_t *cpus, size_t count);

/// Moves the calling thread to one of the processors that it may run on, counted from 0 and around, and leaves it free to
/// be moved elsewhere. Best effort: where the kernel refuses, nothing changes.
void sluice_move_to_processor(uint32_t number);

/// CLOCK_MONOTONIC in nanoseconds.
uint64_t sluice_monotonic_nanoseconds(void);

/// CLOCK_BOOTTIME in nanoseconds, in our own time namespace.
uint64_t sluice_boottime_nanoseconds(void);

/// The clock ticks in a second that /proc/PID/stat counts in.
long sluice_clock_ticks_per_second(void);

#endif
