#ifndef MEMORY_TARGET_CLOCK_H
#define MEMORY_TARGET_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// May return early; callers look at the clock.
static inline void sleep_nanoseconds(int64_t nanoseconds) {
    struct timespec duration = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&duration, NULL);
}

#endif
