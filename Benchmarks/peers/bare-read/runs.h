#ifndef BARE_READ_RUNS_H
#define BARE_READ_RUNS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Neighbouring pages with data.
struct run {
    uint64_t start, bytes;
};

struct runs {
    struct run *at;
    size_t count, room;
    uint64_t bytes;
};

// All pages of private memory that the process has of its own. Exits if that is impossible.
struct runs runs_of(pid_t pid);

#endif
