// The process: its mappings, the state of its pages, and their bytes.
#ifndef IMAGE_COMPARE_TARGET_H
#define IMAGE_COMPARE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target;

// Gives up if the process is not stopped, unless `live`.
struct target *target_open(int pid, bool live);

// The pid inside the process's own pid namespace.
int target_vpid(int pid);

enum vma_class {
    VMA_PRIVATE_ANONYMOUS,
    VMA_PRIVATE_FILE,
    VMA_VDSO,    // all of it, whatever its pages look like
    VMA_EITHER,  // CRIU leaves it out, taking it does no harm
    VMA_NEVER
};

struct vma {
    uint64_t start, end;
    char permissions[5];
    char name[160];
    enum vma_class class;
};

// The next mapping in address order; false at the end.
bool target_next_vma(struct target *target, struct vma *vma);

enum pagemap_bits {
    PAGE_PRESENT = 63,
    PAGE_SWAPPED = 62,
    PAGE_FILE_OR_SHARED = 61,
    PAGE_GUARD = 58
};
static inline bool page_has(uint64_t page, enum pagemap_bits bit) { return page >> bit & 1; }

// One word for each page from `start` on.
void target_page_states(const struct target *target, uint64_t start, uint64_t *states, size_t pages);

// False: frame numbers are hidden from us, so nothing is known about zero pages.
bool target_frames_visible(const struct target *target);
bool target_is_zero_page(const struct target *target, uint64_t state);
bool target_is_huge_zero_page(const struct target *target, uint64_t state);

// Bytes read; fewer if a page cannot be read.
size_t target_read(const struct target *target, uint64_t address, void *into, size_t size);

#endif
