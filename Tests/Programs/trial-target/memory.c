#define _GNU_SOURCE
#include "memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared.h"

size_t page_size(void) {
  static size_t size;
  if (size == 0) size = (size_t)sysconf(_SC_PAGESIZE);
  return size;
}

uint64_t random_word(void) {
  static _Thread_local uint64_t seed = 0x2545f4914f6cdd1d;
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

size_t random_below(size_t limit) { return (size_t)((random_word() >> 16) % limit); }

char *map_apart(size_t bytes, bool huge) {
  size_t all = bytes + 2 * HUGE_BYTES;
  char *start = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) die("mmap");
  char *inner = (char *)(((uintptr_t)start + HUGE_BYTES) & ~(uintptr_t)(HUGE_BYTES - 1));
  if (mprotect(inner, bytes, PROT_READ | PROT_WRITE) != 0) die("mprotect");
  if (madvise(inner, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0) die("madvise");
  return inner;
}

// Every word differs from its neighbours, and from the same word of any other number.
static uint64_t word_of(uint64_t number, size_t at) { return (number * 0x9e3779b97f4a7c15) ^ (number << 20) ^ (at + 1); }

void page_fill(void *page, uint64_t number) {
  uint64_t *word = page;
  for (size_t at = 0; at < page_size() / sizeof *word; at++) word[at] = number == 0 ? 0 : word_of(number, at);
}

bool page_is(const void *page, uint64_t number) {
  const uint64_t *word = page;
  uint64_t difference = 0;
  for (size_t at = 0; at < page_size() / sizeof *word; at++) difference |= word[at] ^ (number == 0 ? 0 : word_of(number, at));
  return difference == 0;
}

static uint64_t number_of(const struct memory *memory, size_t page) {
  uint32_t generation = memory->generations[page];
  return generation == 0 ? 0 : (uint64_t)(page + 1) << 32 | generation;
}

struct memory memory_make(size_t bytes, bool huge) {
  struct memory memory = {.start = map_apart(bytes, huge), .pages = bytes / page_size()};
  memory.generations = mmap(NULL, memory.pages * sizeof *memory.generations, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory.generations == MAP_FAILED) die("mmap");
  for (size_t page = 0; page < memory.pages; page++) memory_write(&memory, page);
  return memory;
}

void memory_check(const struct memory *memory, size_t page) {
  const char *start = memory->start + page * page_size();
  if (page_is(start, number_of(memory, page))) return;
  harmed("page %zu of %zu, at %p, is not what was written (generation %u)", page, memory->pages, (const void *)start,
         memory->generations[page]);
}

void memory_check_all(const struct memory *memory) {
  for (size_t page = 0; page < memory->pages; page++) memory_check(memory, page);
}

void memory_write(struct memory *memory, size_t page) {
  memory_check(memory, page);
  memory->generations[page]++;
  page_fill(memory->start + page * page_size(), number_of(memory, page));
}
