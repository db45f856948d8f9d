// pagemap-<vpid>.img: which pages are in the images.
#ifndef IMAGE_COMPARE_PAGEMAP_H
#define IMAGE_COMPARE_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

enum entry_flags { ENTRY_PARENT = 1, ENTRY_LAZY = 2, ENTRY_PRESENT = 4 };

struct entry {
    uint64_t start, pages;
    uint32_t flags;
    bool has_old_count, has_new_count;
    uint64_t old_count, new_count;
};

// Never overflows: that was checked when the entry was read.
static inline uint64_t entry_end(const struct entry *entry) { return entry->start + entry->pages * (uint64_t)sysconf(_SC_PAGESIZE); }

struct pagemap;

// Takes the descriptor and the path over.
struct pagemap *pagemap_open(int descriptor, char *path);
uint32_t pagemap_pages_id(const struct pagemap *pagemap);

// Reads all entries, reports errors of form, gives up at entries nobody could use. Returns the number of PRESENT pages.
uint64_t pagemap_check(struct pagemap *pagemap);

void pagemap_rewind(struct pagemap *pagemap);

// False at the end.
bool pagemap_next(struct pagemap *pagemap, struct entry *entry);

#endif
