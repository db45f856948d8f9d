// CRIU's images, as far as the suite needs to know them. Written from the format's description, not with Sluice's own
// reader: a mistake that Sluice makes in writing, it would make in reading too. Whatever is wrong ends the program.
#ifndef INTEROP_IMAGES_FORMAT_H
#define INTEROP_IMAGES_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { flag_parent = 1, flag_lazy = 2, flag_present = 4 };

struct entry {
    uint64_t address, pages, flags;
};

struct pagemap {
    uint64_t pages_id;
    struct entry *entries;
    size_t count;
};

struct dump_stats {
    uint64_t freezing_microseconds, frozen_microseconds, scanned, parent, written;
};

uint64_t system_page_size(void);

struct pagemap read_pagemap(const char *directory, const char *pid);
void write_pagemap(const char *directory, const char *pid, const struct pagemap *map);

// The entry that a page is in, or NULL.
const struct entry *find_entry(const struct pagemap *map, uint64_t address);

// How many pages the pages file holds before the one at `address`, which must be in it.
uint64_t pages_before(const struct pagemap *map, uint64_t address);

void pages_path(char *path, size_t size, const char *directory, const struct pagemap *map);

// Has the inventory say that the images were made so long after the machine was started.
void write_uptime(const char *directory, uint64_t microseconds);

struct dump_stats read_stats(const char *directory);

#endif
