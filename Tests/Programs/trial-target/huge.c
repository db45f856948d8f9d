// Huge pages that are split and collapsed while they are written.
#define _GNU_SOURCE
#include <sys/mman.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static struct memory memory;

static void verify(void) { memory_check_all(&memory); }

// A page goes, and the huge page with it; the page comes back as another one.
static void split_by_giving_back(size_t page) {
  if (madvise(memory.start + page * page_size(), page_size(), MADV_DONTNEED) != 0) die("madvise");
  memory.generations[page] = 0;
  memory_write(&memory, page);
}

// The mapping is in three for a moment.
static void split_by_protection(size_t page) {
  char *start = memory.start + page * page_size();
  if (mprotect(start, page_size(), PROT_READ) != 0) die("mprotect");
  memory_check(&memory, page);
  if (mprotect(start, page_size(), PROT_READ | PROT_WRITE) != 0) die("mprotect");
  memory_write(&memory, page);
}

static _Noreturn void split_and_collapse(const struct settings *settings) {
  memory = memory_make(settings->size, true);
  size_t pages_each = HUGE_BYTES / page_size(), count = memory.pages / pages_each;
  trial_begins(verify);
  for (;;) {
    size_t first = random_below(count) * pages_each, page = first + random_below(pages_each);
    if (random_below(2)) {
      split_by_giving_back(page);
    } else {
      split_by_protection(page);
    }
    for (int writes = 0; writes < 8; writes++) memory_write(&memory, first + random_below(pages_each));
    // The kernel refuses it while pages are protected, for one: that is no harm.
    if (madvise(memory.start + first * page_size(), HUGE_BYTES, MADV_COLLAPSE) == 0) atomic_fetch_add(&shared->work, 1);
    turn_ends();
  }
}

const struct trial huge_trials[] = {
    {.name = "split-collapse", .what = "splits and collapses huge pages; work counts those collapsed", .run = split_and_collapse},
    {0},
};
