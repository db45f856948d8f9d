// What kind of memory the main area is made of.
#ifndef MEMORY_TARGET_BACKING_H
#define MEMORY_TARGET_BACKING_H

#include <stddef.h>

enum backing {
    BACKING_PRIVATE, // anonymous
    BACKING_SHARED,  // anonymous
    BACKING_MEMFD,   // shared, of a memfd that stays open
    BACKING_SYSV,    // a System V segment, which goes when its IPC namespace goes
    BACKING_HUGETLB, // private, of the kernel's reserve of huge pages
    BACKING_COUNT
};

extern const char *const BACKING_NAMES[BACKING_COUNT];

// `size` bytes, readable and writable.
void *map_backing(enum backing backing, size_t size);

#endif
