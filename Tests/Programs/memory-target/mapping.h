// Private anonymous mappings that cannot merge with their neighbours.
#ifndef MEMORY_TARGET_MAPPING_H
#define MEMORY_TARGET_MAPPING_H

#include "check.h"

size_t page_size(void);

// `size` bytes, readable and writable, aligned at `alignment`, between inaccessible guard pages.
void *map_guarded(size_t size, size_t alignment, int extra_flags, const char *what);

void set_protection(void *start, size_t size, int protection, const char *what);
void advise(void *start, size_t size, int advice);

static inline void *page_at(void *base, uint64_t index) { return (unsigned char *)base + index * page_size(); }

// `count` separate VMAs of one page each.
struct many_vmas {
    void *base;
    uint64_t count;
    bool random;
};
void many_vmas_map(struct many_vmas *vmas);
void many_vmas_check(const struct many_vmas *vmas, struct check *check);

// A mapping of `size` bytes of which `count` pages, spread evenly, are populated.
struct sparse {
    void *base;
    uint64_t size, count;
    bool random;
};
void sparse_map(struct sparse *sparse);
void sparse_check(const struct sparse *sparse, struct check *check);

#endif
