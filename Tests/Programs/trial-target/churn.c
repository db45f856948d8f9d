// Mappings that come, go, move, change and are given back, as fast as can be.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { MOST_SLOTS = 64, OPERATIONS_A_TURN = 200 };

// A mapping between two gaps. Its numbers say what each page holds.
struct slot {
  char *start;
  size_t pages;
  bool huge, is_writable;
  uint64_t *numbers;
  bool *may_be_freed;  // by MADV_FREE: all zero, or as it was
};

static struct slot slots[MOST_SLOTS];
static size_t slot_count;
static uint64_t last_number;

static char *page_of(const struct slot *slot, size_t page) { return slot->start + page * page_size(); }

static void check_page(struct slot *slot, size_t page) {
  if (page_is(page_of(slot, page), slot->numbers[page])) return;
  // After the first look, not before: the kernel may free it in between.
  if (slot->may_be_freed[page] && page_is(page_of(slot, page), 0)) {
    slot->numbers[page] = 0;
    slot->may_be_freed[page] = false;
    return;
  }
  harmed("page %zu of a mapping of %zu, at %p, is not what was written", page, slot->pages, (void *)page_of(slot, page));
}

static void check_slot(struct slot *slot) {
  for (size_t page = 0; page < slot->pages; page++) check_page(slot, page);
}

static void verify(void) {
  for (size_t at = 0; at < slot_count; at++) check_slot(&slots[at]);
}

static void set_writable(struct slot *slot, bool is_writable) {
  if (slot->is_writable == is_writable) return;
  if (mprotect(slot->start, slot->pages * page_size(), PROT_READ | (is_writable ? PROT_WRITE : 0)) != 0) die("mprotect");
  slot->is_writable = is_writable;
}

static void write_pages(struct slot *slot, size_t count) {
  set_writable(slot, true);
  for (; count > 0; count--) {
    size_t page = random_below(slot->pages);
    check_page(slot, page);
    slot->numbers[page] = ++last_number;
    slot->may_be_freed[page] = false;
    page_fill(page_of(slot, page), last_number);
  }
}

static void forget(struct slot *slot, size_t first, size_t count) {
  memset(slot->numbers + first, 0, count * sizeof *slot->numbers);
  memset(slot->may_be_freed + first, 0, count * sizeof *slot->may_be_freed);
}

static void resize_ledger(struct slot *slot, size_t pages) {
  size_t before = slot->numbers == NULL ? 0 : slot->pages;
  slot->numbers = realloc(slot->numbers, pages * sizeof *slot->numbers);
  slot->may_be_freed = realloc(slot->may_be_freed, pages * sizeof *slot->may_be_freed);
  if (slot->numbers == NULL || slot->may_be_freed == NULL) die("realloc");
  slot->pages = pages;
  if (pages > before) forget(slot, before, pages - before);
}

// Aligned to a huge page, so that a move may take whole page tables; with nothing around it that could pile up.
static char *map_aligned(size_t bytes, int protection) {
  size_t all = bytes + HUGE_BYTES;
  char *start = mmap(NULL, all, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) die("mmap");
  char *inner = (char *)(((uintptr_t)start + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
  size_t before = (size_t)(inner - start);
  if (before > 0 && munmap(start, before) != 0) die("munmap");
  if (before < HUGE_BYTES && munmap(inner + bytes, HUGE_BYTES - before) != 0) die("munmap");
  return inner;
}

static void map(struct slot *slot) {
  if (slot->start != NULL && munmap(slot->start, slot->pages * page_size()) != 0) die("munmap");
  slot->huge = random_below(3) == 0;
  size_t pages = slot->huge ? HUGE_BYTES / page_size() * (1 + random_below(2)) : 1 + random_below(64);
  slot->start = map_aligned(pages * page_size(), PROT_READ | PROT_WRITE);
  if (slot->huge && madvise(slot->start, pages * page_size(), MADV_HUGEPAGE) != 0) die("madvise");
  slot->is_writable = true;
  resize_ledger(slot, pages);
  forget(slot, 0, pages);
  write_pages(slot, 4);
}

// Whoever registers a part of a mapping splits it, and such a one cannot be moved as a whole on older kernels (EFAULT).
static void move(struct slot *slot) {
  size_t bytes = slot->pages * page_size();
  char *place = map_aligned(bytes, PROT_NONE);
  if (mremap(slot->start, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED) {
    harmed("a mapping of %zu pages cannot be moved: %s", slot->pages, strerror(errno));
    return;
  }
  slot->start = place;
}

static void shrink(struct slot *slot) {
  if (slot->pages < 2) return;
  size_t pages = 1 + random_below(slot->pages - 1);
  if (mremap(slot->start, slot->pages * page_size(), pages * page_size(), 0) == MAP_FAILED) die("mremap to shrink");
  resize_ledger(slot, pages);
}

static void grow(struct slot *slot) {
  if (slot->pages > 1024) return;
  size_t pages = slot->pages + 1 + random_below(32);
  void *grown = mremap(slot->start, slot->pages * page_size(), pages * page_size(), MREMAP_MAYMOVE);
  if (grown == MAP_FAILED) {
    harmed("a mapping of %zu pages cannot grow: %s", slot->pages, strerror(errno));
    return;
  }
  slot->start = grown;
  resize_ledger(slot, pages);
}

static void give_back(struct slot *slot, int advice) {
  size_t first = random_below(slot->pages), count = 1 + random_below(slot->pages - first);
  set_writable(slot, true);
  for (size_t page = first; page < first + count; page++) check_page(slot, page);
  if (madvise(page_of(slot, first), count * page_size(), advice) != 0) die("madvise");
  if (advice == MADV_DONTNEED) {
    forget(slot, first, count);
  } else {
    for (size_t page = first; page < first + count; page++) slot->may_be_freed[page] = true;
  }
}

// Another thing at the same place.
static void replace(struct slot *slot) {
  size_t bytes = slot->pages * page_size();
  if (mmap(slot->start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    die("mmap to replace");
  slot->is_writable = true;
  slot->huge = false;
  forget(slot, 0, slot->pages);
}

// It may fail for many reasons, none of which is an error.
static void collapse(struct slot *slot) {
  if (slot->huge) (void)madvise(slot->start, slot->pages * page_size(), MADV_COLLAPSE);
}

static void operate(struct slot *slot) {
  switch (random_below(12)) {
    case 0:
      map(slot);
      break;
    case 1:
      move(slot);
      break;
    case 2:
      shrink(slot);
      break;
    case 3:
      grow(slot);
      break;
    case 4:
      set_writable(slot, !slot->is_writable);
      break;
    case 5:
      give_back(slot, MADV_DONTNEED);
      break;
    case 6:
      give_back(slot, MADV_FREE);
      break;
    case 7:
      collapse(slot);
      break;
    case 8:
      replace(slot);
      break;
    default:
      write_pages(slot, 1 + random_below(8));
  }
}

static _Noreturn void churn(const struct settings *settings) {
  slot_count = settings->count < MOST_SLOTS ? settings->count * 4 : MOST_SLOTS;
  for (size_t at = 0; at < slot_count; at++) map(&slots[at]);
  trial_begins(verify);
  for (;;) {
    for (int at = 0; at < OPERATIONS_A_TURN; at++) operate(&slots[random_below(slot_count)]);
    atomic_fetch_add(&shared->work, OPERATIONS_A_TURN);
    turn_ends();
  }
}

const struct trial churn_trials[] = {
    {.name = "churn", .what = "mmap, munmap, mremap, mprotect, MADV_DONTNEED, FREE and COLLAPSE, without rest", .run = churn},
    {0},
};
