// Memory that says of each of its pages what it should be: a ledger elsewhere has how often it was written.
#ifndef TRIAL_TARGET_MEMORY_H
#define TRIAL_TARGET_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HUGE_BYTES = 2 << 20 };

struct memory {
  char *start;
  size_t pages;
  uint32_t *generations;  // of each page; 0: all zero
};

size_t page_size(void);
uint64_t random_word(void);
size_t random_below(size_t limit);

// Private anonymous memory between two gaps, aligned to a huge page, not populated. Huge pages are wanted, or not at all.
char *map_apart(size_t bytes, bool huge);

// The same with a ledger, every page written once.
struct memory memory_make(size_t bytes, bool huge);

// Looks whether the page is what it should be, and writes it anew.
void memory_write(struct memory *memory, size_t page);

// Notes a harm if the page is not what it should be.
void memory_check(const struct memory *memory, size_t page);
void memory_check_all(const struct memory *memory);

// The same for a page of no ledger: a number decides what is in it. 0 is for all zero.
void page_fill(void *page, uint64_t number);
bool page_is(const void *page, uint64_t number);

#endif
