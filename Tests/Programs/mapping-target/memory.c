#define _GNU_SOURCE
#include "memory.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"

size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

void fill(void *address, size_t pages) {
  uint64_t *words = address;
  for (size_t at = 0; at < pages * page_size() / sizeof *words; at++) words[at] = (uintptr_t)(words + at);
}

void read_pages(const void *address, size_t pages) {
  for (size_t at = 0; at < pages; at++) (void)((const volatile char *)address)[at * page_size()];
}

char *free_range(size_t pages) {
  size_t size = (pages + 2) * page_size();
  char *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return start;
  munmap(start, size);
  return start + page_size();
}

void *map_alone(size_t pages, int protection, int flags) {
  char *start = free_range(pages);
  if (start == MAP_FAILED) return start;
  return mmap(start, pages * page_size(), protection, flags | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static void *map_private(size_t pages) {
  void *start = map_alone(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
  // A huge page would populate what was not touched.
  if (start != MAP_FAILED) madvise(start, pages * page_size(), MADV_NOHUGEPAGE);
  return start;
}

static void reserve(const struct words *words) { answer_mapping(map_private(number_in(words, 0))); }

static void map(const struct words *words) {
  void *start = map_private(number_in(words, 0));
  if (start != MAP_FAILED) fill(start, number_in(words, 0));
  answer_mapping(start);
}

static void map_hidden(const struct words *words) {
  size_t pages = number_in(words, 0);
  void *start = map_private(pages);
  if (start != MAP_FAILED) {
    fill(start, pages);
    mprotect(start, pages * page_size(), PROT_NONE);
  }
  answer_mapping(start);
}

static void map_again(const struct words *words) {
  size_t pages = number_in(words, 1);
  void *start = mmap(address_in(words, 0), pages * page_size(), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (start != MAP_FAILED) fill(start, pages);
  answer_result(start == MAP_FAILED ? -1 : 0);
}

static void fill_range(const struct words *words) {
  fill(address_in(words, 0), number_in(words, 1));
  answer_done();
}

static void stamp_range(const struct words *words) {
  uint64_t *start = address_in(words, 0), number = number_in(words, 2);
  size_t count = number_in(words, 1) * page_size() / sizeof *start;
  for (size_t at = 0; at < count; at++) start[at] = number;
  answer_done();
}

static void read_range(const struct words *words) {
  read_pages(address_in(words, 0), number_in(words, 1));
  answer_done();
}

static void unmap(const struct words *words) {
  answer_result(munmap(address_in(words, 0), number_in(words, 1) * page_size()));
}

static void move(const struct words *words) {
  size_t size = number_in(words, 1) * page_size();
  char *to = free_range(number_in(words, 1));
  if (to == MAP_FAILED) {
    answer_errno();
    return;
  }
  answer_mapping(mremap(address_in(words, 0), size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to));
}

static int protection(const char *name) {
  int protection = PROT_NONE;
  if (strcmp(name, "none") == 0) return protection;
  for (; *name != 0; name++) {
    switch (*name) {
      case 'r':
        protection |= PROT_READ;
        break;
      case 'w':
        protection |= PROT_WRITE;
        break;
      case 'x':
        protection |= PROT_EXEC;
        break;
    }
  }
  return protection;
}

static void protect(const struct words *words) {
  size_t size = number_in(words, 1) * page_size();
  answer_result(mprotect(address_in(words, 0), size, protection(words->word[2])));
}

static void advise(const struct words *words) {
  size_t size = number_in(words, 1) * page_size();
  answer_result(madvise(address_in(words, 0), size, (int)number_in(words, 2)));
}

// Every other page may be written.
static void map_pieces(const struct words *words) {
  size_t count = number_in(words, 0);
  char *start = map_alone(count, PROT_READ, MAP_PRIVATE | MAP_NORESERVE);
  if (start == MAP_FAILED) {
    answer_errno();
    return;
  }
  for (size_t at = 0; at < count; at += 2) {
    if (mprotect(start + at * page_size(), page_size(), PROT_READ | PROT_WRITE) != 0) {
      answer_errno();
      return;
    }
  }
  answer_done();
}

const struct command memory_commands[] = {
    {"map", 1, map},           {"reserve", 1, reserve},  {"hidden", 1, map_hidden}, {"again", 2, map_again},
    {"fill", 2, fill_range},   {"stamp", 3, stamp_range}, {"read", 2, read_range},   {"unmap", 2, unmap},
    {"move", 2, move},         {"protect", 3, protect},   {"advise", 3, advise},     {"pieces", 1, map_pieces},
    {NULL, 0, NULL},
};
