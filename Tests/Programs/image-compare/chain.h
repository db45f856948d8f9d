// A chain of image directories: which of their bytes stand for a page of one process.
// Every level is read from front to back only, so memory does not grow with the images.
#ifndef IMAGE_COMPARE_CHAIN_H
#define IMAGE_COMPARE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chain;

// Opens the directory and its parents, and checks and reports the form of all their files for this process.
struct chain *chain_open(const char *directory, int vpid);

enum source_state { SOURCE_NONE, SOURCE_FOUND, SOURCE_UNRESOLVED };

struct source {
    enum source_state state;
    unsigned level;
    uint64_t offset; // in that level's pages file
};

// Addresses must never go down from one call (of either function) to the next.
struct source chain_find(struct chain *chain, uint64_t address);

// The first run of covered addresses at or after `address` in the first directory's pagemap. False if there is none.
bool chain_next_run(struct chain *chain, uint64_t address, uint64_t *start, uint64_t *end);

// Reads from a level's pages file; returns the bytes read, fewer only at the file's end.
size_t chain_read(const struct chain *chain, unsigned level, uint64_t offset, void *into, size_t size);

#endif
