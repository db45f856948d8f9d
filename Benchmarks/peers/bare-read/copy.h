#ifndef BARE_READ_COPY_H
#define BARE_READ_COPY_H

#include "runs.h"

// One thread's part of the runs: `bytes` from `offset` bytes into the first run on.
struct share {
    pid_t pid;
    const struct run *first;
    uint64_t offset, bytes;
};

// The share of a thread, of `count` that are of the same size, give or take a page.
struct share share_of(const struct runs *runs, pid_t pid, unsigned index, unsigned count);

enum { BUFFER_BYTES = 1 << 20 };

// Reads the share from start to end into the buffer, again and again the same one.
void share_copy(const struct share *share, void *buffer);

#endif
