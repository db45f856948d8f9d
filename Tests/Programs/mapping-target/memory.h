// Private anonymous memory, and what is done with memory of any kind.
#ifndef MAPPING_TARGET_MEMORY_H
#define MAPPING_TARGET_MEMORY_H

#include <stddef.h>

size_t page_size(void);

// Room in the address space with a page free on either side, so that what is mapped there is a mapping of its own. MAP_FAILED if there is none.
char *free_range(size_t pages);

// A mapping of no file in a range of its own.
void *map_alone(size_t pages, int protection, int flags);

// Writes every page: word n holds the address of word n.
void fill(void *address, size_t pages);

void read_pages(const void *address, size_t pages);

#endif
