// Pages that are alike, for the kernel to merge (KSM), and that become others, without rest.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

// So many contents there are: one of all pages in a few is like the next.
enum { CONTENTS = 5, WRITES = 16 };

static struct {
  char *start;
  size_t pages;
  uint8_t *contents;  // of each page: a number, 0 for all zero
} merged;

static void verify(void) {
  for (size_t page = 0; page < merged.pages; page++)
    if (!page_is(merged.start + page * page_size(), merged.contents[page])) harmed("page %zu is not what was written", page);
}

static void write_page(size_t page) {
  merged.contents[page] = (uint8_t)random_below(CONTENTS);
  page_fill(merged.start + page * page_size(), merged.contents[page]);
}

// Not where nobody merges.
static void check_is_merged(void) {
  FILE *file = fopen("/sys/kernel/mm/ksm/run", "r");
  int run = 0;
  if (file == NULL || fscanf(file, "%d", &run) != 1 || run != 1) not_possible("the kernel merges no pages (KSM)");
  fclose(file);
}

static _Noreturn void merge(const struct settings *settings) {
  const struct timespec pause = {.tv_nsec = 1000000};
  check_is_merged();
  merged.start = map_apart(settings->size, false);
  merged.pages = settings->size / page_size();
  merged.contents = calloc(merged.pages, 1);
  if (merged.contents == NULL) die("calloc");
  if (madvise(merged.start, settings->size, MADV_MERGEABLE) != 0) not_possible("madvise");
  for (size_t page = 0; page < merged.pages; page++) write_page(page);
  trial_begins(verify);
  for (;;) {
    for (int at = 0; at < WRITES; at++) write_page(random_below(merged.pages));
    atomic_fetch_add(&shared->work, WRITES);
    turn_ends();
    nanosleep(&pause, NULL);
  }
}

const struct trial merging_trials[] = {
    {.name = "merged", .what = "writes pages that are alike, and that the kernel is asked to merge (KSM)", .run = merge},
    {0},
};
