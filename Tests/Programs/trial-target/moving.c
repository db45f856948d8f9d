// Two mappings that are moved at once, without rest. Since Linux 6.17 the kernel does that in one call; where it refuses, as
// it does for memory that a userfaultfd watches, what is left of the two is moved by itself.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

enum { PAGES = 64, PARTS = 2, READ_WRITE = PROT_READ | PROT_WRITE, PAUSE_US = 50 };

static struct {
  char *start;
  // Of each page of the first part; the second may only be read, and stays as it was.
  uint64_t numbers[PAGES];
} moved;

static size_t part_bytes(void) { return PAGES * page_size(); }

static void check(size_t page) {
  if (!page_is(moved.start + page * page_size(), moved.numbers[page])) harmed("page %zu that was moved is not what was written", page);
  if (!page_is(moved.start + part_bytes() + page * page_size(), page + 1)) harmed("page %zu that may only be read has changed", page);
}

static void verify(void) {
  for (size_t page = 0; page < PAGES; page++) check(page);
}

static bool is_mapped(const char *start) {
  unsigned char in_memory;
  return mincore((void *)start, page_size(), &in_memory) == 0;
}

static void move_the_rest(char *place) {
  for (size_t part = 0; part < PARTS; part++) {
    char *from = moved.start + part * part_bytes(), *to = place + part * part_bytes();
    if (!is_mapped(from)) continue;
    if (mremap(from, part_bytes(), part_bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
      harmed("a mapping cannot be moved: %s", strerror(errno));
  }
}

static _Noreturn void move(const struct settings *settings) {
  (void)settings;
  moved.start = mmap(NULL, PARTS * part_bytes(), READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (moved.start == MAP_FAILED) die("mmap");
  for (size_t page = 0; page < PAGES; page++) {
    moved.numbers[page] = page + 1;
    page_fill(moved.start + page * page_size(), page + 1);
    page_fill(moved.start + part_bytes() + page * page_size(), page + 1);
  }
  if (mprotect(moved.start + part_bytes(), part_bytes(), PROT_READ) != 0) die("mprotect");
  trial_begins(verify);
  for (uint64_t number = PAGES + 1;; number++) {
    char *place = mmap(NULL, PARTS * part_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) die("mmap");
    char *changed = mremap(moved.start, PARTS * part_bytes(), PARTS * part_bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, place);
    if (changed == MAP_FAILED) move_the_rest(place);
    moved.start = place;
    size_t page = random_below(PAGES);
    check(page);
    moved.numbers[page] = number;
    page_fill(place + page * page_size(), number);
    atomic_fetch_add(&shared->work, 1);
    turn_ends();
    usleep(PAUSE_US);
  }
}

const struct trial moving_trials[] = {
    {.name = "moves", .what = "two mappings at once that are moved without rest", .run = move},
    {0},
};
