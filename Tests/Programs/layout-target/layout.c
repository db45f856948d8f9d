#define _GNU_SOURCE
#include "layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

// Of newer kernels than the C library's headers may be.
enum { GUARD_INSTALL = 102, NAME_MAPPING = 0x53564d41 };

static const uintptr_t FIRST_ADDRESS = 0x200000000000;
static const size_t HUGE_PAGE = 2 << 20;

static unsigned writer;
static const char *directory;

void set_writer(unsigned number) { writer = number; }

void set_directory(const char *path) { directory = path; }

unsigned char *range_start(size_t index) { return (unsigned char *)(FIRST_ADDRESS + index * (uintptr_t)RANGE_DISTANCE); }

static uint64_t mixed(uint64_t number) {
  number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
  number = (number ^ number >> 27) * 0x94d049bb133111eb;
  return number ^ number >> 31;
}

// Fills a page with what only this page has, of this process, at this step.
static void fill(unsigned char *start, size_t index, unsigned step) {
  uint64_t *words = (uint64_t *)(start + index * PAGE);
  uint64_t seed = mixed((uintptr_t)words / PAGE + ((uint64_t)writer << 56) + ((uint64_t)step << 48));
  for (size_t at = 0; at < PAGE / sizeof *words; at++) words[at] = mixed(seed + at * 0x9e3779b97f4a7c15);
}

static void fill_all(unsigned char *start, size_t pages) {
  for (size_t index = 0; index < pages; index++) fill(start, index, 0);
}

static void fill_every(unsigned char *start, size_t pages, size_t distance, unsigned step) {
  for (size_t index = step % distance; index < pages; index += distance) fill(start, index, step);
}

static void read_page(unsigned char *start, size_t index) { (void)*(volatile unsigned char *)(start + index * PAGE); }

static void map(unsigned char *start, size_t pages, int protection, int flags, int file) {
  if (mmap(start, pages * PAGE, protection, flags | MAP_FIXED_NOREPLACE, file, 0) != start) fail("mmap");
  // The kernel must not make huge pages of small ones at a time of its own choice. One that knows no huge pages refuses.
  (void)madvise(start, pages * PAGE, MADV_NOHUGEPAGE);
}

static void map_private(unsigned char *start, size_t pages) {
  map(start, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void protect(unsigned char *start, size_t pages, int protection) {
  if (mprotect(start, pages * PAGE, protection) != 0) fail("mprotect");
}

static void discard(unsigned char *start, size_t pages) {
  if (madvise(start, pages * PAGE, MADV_DONTNEED) != 0) fail("madvise");
}

// Pages with data, with zeros, and without anything; then some are written, some become zeros, some go.
enum { MIXED_PAGES = 250 };

static const char *make_mixed(unsigned char *start) {
  map_private(start, MIXED_PAGES);
  for (size_t index = 0; index < MIXED_PAGES; index++) {
    if (index % 7 == 3) continue;
    if (index % 11 == 5) {
      memset(start + index * PAGE, 0, PAGE);
    } else {
      fill(start, index, 0);
    }
  }
  return NULL;
}

static void write_mixed(unsigned char *start, unsigned step) {
  fill_every(start, MIXED_PAGES, 9, step);
  // At multiples of 50, so that no two steps have the same pages.
  for (size_t index = step; index + 20 < MIXED_PAGES; index += 50) {
    memset(start + (index + 10) * PAGE, 0, PAGE);
    discard(start + (index + 20) * PAGE, 1);
    read_page(start, index + 20);
    discard(start + (index + 5) * PAGE, 2);
  }
}

enum { CLEAN_PAGES = 64 };

static const char *make_clean(unsigned char *start) {
  map_private(start, CLEAN_PAGES);
  fill_all(start, CLEAN_PAGES);
  return NULL;
}

// More than a buffer holds.
enum { LONG_PAGES = 1500 };

static const char *make_long(unsigned char *start) {
  map_private(start, LONG_PAGES);
  fill_all(start, LONG_PAGES);
  return NULL;
}

static void write_long(unsigned char *start, unsigned step) {
  for (size_t index = step * 100; index < step * 100 + 400; index++) fill(start, index, step);
}

enum { ALTERNATE_PAGES = 128 };

static const char *make_alternate(unsigned char *start) {
  map_private(start, ALTERNATE_PAGES);
  for (size_t index = 1; index < ALTERNATE_PAGES; index += 2) fill(start, index, 0);
  return NULL;
}

static void write_alternate(unsigned char *start, unsigned step) {
  for (size_t index = 1 + 2 * step; index < ALTERNATE_PAGES; index += 16) fill(start, index, step);
}

enum { ZERO_PAGES = 128 };

static const char *make_zeros(unsigned char *start) {
  map_private(start, ZERO_PAGES);
  for (size_t index = 0; index < ZERO_PAGES; index++) {
    if (index < ZERO_PAGES / 2) {
      read_page(start, index);
    } else {
      memset(start + index * PAGE, 0, PAGE);
    }
  }
  return NULL;
}

static void write_zeros(unsigned char *start, unsigned step) {
  fill(start, step * 3, step);
  fill(start, ZERO_PAGES / 2 + step * 3, step);
  memset(start + (ZERO_PAGES / 2 + step * 3 + 1) * PAGE, 0, PAGE);
}

enum { SPARSE_PAGES = 64 << 8 };

static const char *make_sparse(unsigned char *start) {
  map_private(start, SPARSE_PAGES);
  for (size_t index = 0; index < SPARSE_PAGES; index += 3333) fill(start, index, 0);
  return NULL;
}

static void write_sparse(unsigned char *start, unsigned step) { fill(start, step * 4000, step); }

// One huge page that is full, and one of which a single small page was written. Which pages have data depends on whether
// the kernel has given them, so without them this range says nothing.
enum { HUGE_PAGES = 2 * (2 << 20) / PAGE };

static bool has_huge_pages(const unsigned char *start, size_t kibibytes) {
  char line[256], wanted[32];
  snprintf(wanted, sizeof wanted, "%lx-", (unsigned long)(uintptr_t)start);
  FILE *file = fopen("/proc/self/smaps", "r");
  if (file == NULL) fail("/proc/self/smaps");
  bool is_here = false;
  size_t found = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    is_here = is_here || strncmp(line, wanted, strlen(wanted)) == 0;
    if (is_here && sscanf(line, "AnonHugePages: %zu kB", &found) == 1) break;
  }
  fclose(file);
  return found == kibibytes;
}

static const char *make_huge(unsigned char *start) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap(start, HUGE_PAGES * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) != start) fail("mmap");
  if (madvise(start, HUGE_PAGES * PAGE, MADV_HUGEPAGE) != 0) return "the kernel has no transparent huge pages";
  fill_all(start, HUGE_PAGE / PAGE);
  fill(start, HUGE_PAGE / PAGE + 17, 0);
  return has_huge_pages(start, HUGE_PAGES * PAGE >> 10) ? NULL : "the kernel gave no huge pages";
}

static void write_huge(unsigned char *start, unsigned step) {
  fill(start, step * 30, step);
  fill(start, HUGE_PAGE / PAGE + step * 40, step);
}

enum { SHARED_PAGES = 64 };

static const char *make_shared(unsigned char *start) {
  map(start, SHARED_PAGES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  fill_all(start, SHARED_PAGES);
  return NULL;
}

static void write_shared(unsigned char *start, unsigned step) { fill_every(start, SHARED_PAGES, 5, step); }

static int new_memfd(void) {
  int file = memfd_create("layout", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, SHARED_PAGES * PAGE) != 0) fail("memfd_create");
  return file;
}

static const char *make_memfd(unsigned char *start) {
  int file = new_memfd();
  map(start, SHARED_PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, file);
  close(file);
  fill_all(start, SHARED_PAGES);
  return NULL;
}

// Copies of some pages, and none of the others.
static const char *make_memfd_copies(unsigned char *start) {
  int file = new_memfd();
  map(start, SHARED_PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE, file);
  close(file);
  fill_every(start, SHARED_PAGES, 4, 0);
  return NULL;
}

// Every page is in the page cache: what the images have must not depend on that.
static void map_file(unsigned char *start, const char *name, size_t pages, off_t size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, size) != 0) fail(path);
  unsigned char *shared = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (shared == MAP_FAILED) fail("mmap");
  for (off_t at = 0; at < size; at++) shared[at] = (unsigned char)(at * 7 + at / PAGE);
  if (munmap(shared, (size_t)size) != 0) fail("munmap");
  map(start, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE, file);
  close(file);
  for (off_t at = 0; at < size; at += PAGE) read_page(start, (size_t)(at / PAGE));
}

static const char *make_file(unsigned char *start) {
  map_file(start, "file", SHARED_PAGES, SHARED_PAGES * PAGE);
  return NULL;
}

static const char *make_file_copies(unsigned char *start) {
  map_file(start, "file-copies", SHARED_PAGES, SHARED_PAGES * PAGE);
  fill_every(start, SHARED_PAGES, 3, 0);
  return NULL;
}

// A mapping that is longer than its file, which ends in the middle of a page.
static const char *make_file_end(unsigned char *start) {
  map_file(start, "file-end", 16, 7 * PAGE / 2);
  start[PAGE] = 1;
  start[3 * PAGE + 5] = 1;
  return NULL;
}

static void write_file_end(unsigned char *start, unsigned step) { start[3 * PAGE + 6] = (unsigned char)step; }

enum { HIDDEN_PAGES = 64 };

static const char *make_hidden(unsigned char *start) {
  map_private(start, HIDDEN_PAGES);
  fill_every(start, HIDDEN_PAGES, 2, 0);
  protect(start, HIDDEN_PAGES, PROT_NONE);
  return NULL;
}

static void write_hidden(unsigned char *start, unsigned step) {
  protect(start, HIDDEN_PAGES, PROT_READ | PROT_WRITE);
  fill_every(start, HIDDEN_PAGES, 8, step);
  protect(start, HIDDEN_PAGES, PROT_NONE);
}

static const char *make_readable(unsigned char *start) {
  map_private(start, HIDDEN_PAGES);
  fill_every(start, HIDDEN_PAGES, 3, 0);
  protect(start, HIDDEN_PAGES, PROT_READ);
  return NULL;
}

enum { GUARD_PAGES = 64 };

static const char *make_guard(unsigned char *start) {
  map_private(start, GUARD_PAGES);
  fill_all(start, GUARD_PAGES);
  if (madvise(start + 10 * PAGE, 10 * PAGE, GUARD_INSTALL) != 0) return "the kernel has no guard pages";
  return NULL;
}

static void write_guard(unsigned char *start, unsigned step) {
  fill(start, 8, step);
  fill(start, 20 + step, step);
}

enum { LOCKED_PAGES = 64 };

static const char *make_locked(unsigned char *start) {
  map_private(start, LOCKED_PAGES);
  fill_every(start, LOCKED_PAGES, 2, 0);
  return mlock(start, LOCKED_PAGES * PAGE) == 0 ? NULL : "memory may not be locked";
}

static void write_locked(unsigned char *start, unsigned step) { fill_every(start, LOCKED_PAGES, 6, step); }

// In swap, where there is one.
static const char *make_paged_out(unsigned char *start) {
  map_private(start, CLEAN_PAGES);
  fill_all(start, CLEAN_PAGES);
  return madvise(start, CLEAN_PAGES * PAGE, MADV_PAGEOUT) == 0 ? NULL : "the kernel pages nothing out when it is asked to";
}

static void write_paged_out(unsigned char *start, unsigned step) { fill_every(start, CLEAN_PAGES, 10, step); }

static const char *make_named(unsigned char *start) {
  map_private(start, CLEAN_PAGES);
  fill_every(start, CLEAN_PAGES, 2, 0);
  // Only a part, so that there are two mappings. A kernel without names keeps one, which the images do not show.
  (void)prctl(NAME_MAPPING, 0, start, CLEAN_PAGES / 2 * PAGE, "half");
  return NULL;
}

static const char *make_growing(unsigned char *start) {
  map(start + 64 * PAGE, 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1);
  fill(start, 70, 0);
  return NULL;
}

static void write_growing(unsigned char *start, unsigned step) {
  fill(start, 64 - step, step);
  fill(start, 68 + step, step);
}

// For a core file, and for children, these are as if they had no memory; a dump has all of it.
static const char *make_advised(unsigned char *start) {
  map_private(start, 3 * 16);
  fill_every(start, 3 * 16, 2, 0);
  const int advices[] = {MADV_DONTDUMP, MADV_DONTFORK, MADV_WIPEONFORK};
  for (size_t at = 0; at < 3; at++)
    if (madvise(start + at * 16 * PAGE, 16 * PAGE, advices[at]) != 0) fail("madvise");
  return NULL;
}

// The middle part, which its children lack, stays as it is.
static void write_advised(unsigned char *start, unsigned step) {
  fill(start, step, step);
  fill(start, 32 + step, step);
}

enum { MOVED_PAGES = 16, MOVED_DISTANCE = 64 };

static unsigned char *moved;

static const char *make_moved(unsigned char *start) {
  moved = start;
  map_private(moved, MOVED_PAGES);
  fill_every(moved, MOVED_PAGES, 2, 0);
  return NULL;
}

static void write_moved(unsigned char *start, unsigned step) {
  unsigned char *place = start + step * MOVED_DISTANCE * PAGE;
  if (place == moved) return;
  if (mremap(moved, MOVED_PAGES * PAGE, MOVED_PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place) fail("mremap");
  moved = place;
}

enum { REMADE_PAGES = 32 };

static const char *make_remade(unsigned char *start) {
  map_private(start, REMADE_PAGES);
  fill_all(start, REMADE_PAGES);
  return NULL;
}

// What is mapped anew has nothing of before.
static void write_remade(unsigned char *start, unsigned step) {
  if (munmap(start + 8 * PAGE, 16 * PAGE) != 0) fail("munmap");
  size_t pages = step % 3 == 0 ? 4 : step % 3 == 1 ? 16 : 0;
  if (pages == 0) return;
  map_private(start + 8 * PAGE, pages);
  fill_every(start + 8 * PAGE, pages, 2, step);
}

// Neighbours that the kernel cannot join into one mapping.
enum { PIECES = 64 };

static const char *make_pieces(unsigned char *start) {
  map_private(start, PIECES);
  for (size_t index = 0; index < PIECES; index++) {
    if (index % 5 != 2) fill(start, index, 0);
    if (index % 2 == 1) protect(start + index * PAGE, 1, PROT_READ);
  }
  return NULL;
}

static void write_pieces(unsigned char *start, unsigned step) {
  for (size_t index = 2 * step; index < PIECES; index += 16) fill(start, index, step);
}

// Thousands of mappings, with a gap after every eighth.
enum { MANY_MAPPINGS = 4000, MANY_PAGES = 2 * MANY_MAPPINGS };

static bool is_gap(size_t mapping) { return mapping % 8 == 7; }

static const char *make_many(unsigned char *start) {
  map_private(start, MANY_PAGES);
  for (size_t mapping = 0; mapping < MANY_MAPPINGS; mapping++) {
    unsigned char *place = start + mapping * 2 * PAGE;
    if (is_gap(mapping)) {
      if (munmap(place, 2 * PAGE) != 0) fail("munmap");
      continue;
    }
    if (mapping % 16 < 12) fill(start, mapping * 2, 0);
    if (mapping % 16 == 4) fill(start, mapping * 2 + 1, 0);
    if (mapping % 2 == 1) protect(place, 2, PROT_READ);
  }
  return NULL;
}

static void write_many(unsigned char *start, unsigned step) {
  for (size_t mapping = 2 * step; mapping < MANY_MAPPINGS; mapping += 96) fill(start, mapping * 2, step);
}

enum { THREAD_PAGES = 64 };

static const char *make_of_thread(unsigned char *start) {
  map_private(start, THREAD_PAGES);
  fill_every(start, THREAD_PAGES, 2, 0);
  return NULL;
}

static void write_of_thread(unsigned char *start, unsigned step) { fill_every(start, THREAD_PAGES, 7, step); }

static const struct range MEMORY[] = {
    {"mixed", MIXED_PAGES, make_mixed, write_mixed},
    {"clean", CLEAN_PAGES, make_clean, NULL},
    {"long", LONG_PAGES, make_long, write_long},
    {"alternate", ALTERNATE_PAGES, make_alternate, write_alternate},
    {"zeros", ZERO_PAGES, make_zeros, write_zeros},
    {"sparse", SPARSE_PAGES, make_sparse, write_sparse},
    {"huge", HUGE_PAGES, make_huge, write_huge},
    {"shared", SHARED_PAGES, make_shared, write_shared},
    {"memfd", SHARED_PAGES, make_memfd, write_shared},
    {"memfd-copies", SHARED_PAGES, make_memfd_copies, write_shared},
    {"file", SHARED_PAGES, make_file, NULL},
    {"file-copies", SHARED_PAGES, make_file_copies, write_shared},
    {"file-end", 16, make_file_end, write_file_end},
    {"hidden", HIDDEN_PAGES, make_hidden, write_hidden},
    {"readable", HIDDEN_PAGES, make_readable, NULL},
    {"guard", GUARD_PAGES, make_guard, write_guard},
    {"locked", LOCKED_PAGES, make_locked, write_locked},
    {"paged-out", CLEAN_PAGES, make_paged_out, write_paged_out},
    {"named", CLEAN_PAGES, make_named, NULL},
    {"growing", 128, make_growing, write_growing},
    {"advised", 3 * 16, make_advised, write_advised},
    {"moved", 4 * MOVED_DISTANCE, make_moved, write_moved},
    {"remade", REMADE_PAGES, make_remade, write_remade},
    {"pieces", PIECES, make_pieces, write_pieces},
    {0},
};

static const struct range MANY[] = {{"many", MANY_PAGES, make_many, write_many}, {0}};

static const struct range TREE[] = {
    {"mixed", MIXED_PAGES, make_mixed, write_mixed},
    {"clean", CLEAN_PAGES, make_clean, NULL},
    {"file-copies", SHARED_PAGES, make_file_copies, write_shared},
    {"shared", SHARED_PAGES, make_shared, write_shared},
    {"moved", 4 * MOVED_DISTANCE, make_moved, write_moved},
    {"advised", 3 * 16, make_advised, write_advised},
    {0},
};

static const struct range THREADS[] = {
    {"main", THREAD_PAGES, make_of_thread, write_of_thread},
    {"second", THREAD_PAGES, make_of_thread, write_of_thread},
    {"third", THREAD_PAGES, make_of_thread, write_of_thread},
    {"fourth", THREAD_PAGES, make_of_thread, write_of_thread},
    {0},
};

const struct layout LAYOUTS[] = {{"memory", MEMORY}, {"many", MANY}, {"tree", TREE}, {"threads", THREADS}, {0}};
