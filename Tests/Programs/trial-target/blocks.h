// A file whose blocks are known, open for reads past the page cache: what a device writes into memory.
#ifndef TRIAL_TARGET_BLOCKS_H
#define TRIAL_TARGET_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "trials.h"

enum { BLOCKS = 1024, MOST_BLOCKS_A_READ = 16 };

// Makes the file that the settings name, and unlinks it. A descriptor with O_DIRECT.
int blocks_open(const struct settings *settings);

// Memory that is read into: a part of it for each request, and what is in each page of it.
struct landing {
  char *start;
  size_t pages;
  uint64_t *numbers;  // as page_fill has them
};

// So many parts of memory, each of at least MOST_BLOCKS_A_READ pages, every page written once.
struct landing *landings_make(const struct settings *settings);

// A read into a part, at random.
struct arrival {
  size_t page, blocks, first_block;
};
struct arrival arrival_at_random(const struct landing *landing);
void *arrival_place(const struct landing *landing, const struct arrival *arrival);

// Looks whether the blocks have come, and notes what is there now.
void arrival_check(struct landing *landing, const struct arrival *arrival, long bytes);

// Looks through all pages but those of a read that is under way, NULL for none.
void landing_check(const struct landing *landing, const struct arrival *under_way);

#endif
