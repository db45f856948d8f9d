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

// What became of a share: what was read, and what the process has unmapped or hidden since its pages were
// found.
struct copied {
    uint64_t bytes, vanished_bytes;
};

// Reads the share from start to end into the buffer, again and again the same one, and passes over pages that are gone.
// Exits if it cannot be read for any other reason.
struct copied share_copy(const struct share *share, void *buffer);

// The same into memory that has room for all of the share, one part after the other.
struct copied share_keep(const struct share *share, void *memory);

// Reads the share's next bytes into the buffer, of which it leaves the share what comes after them. The process must be
// stopped. Returns how many: a buffer's worth, less at the end, and 0 after that.
size_t share_next(struct share *share, void *buffer);

#endif
