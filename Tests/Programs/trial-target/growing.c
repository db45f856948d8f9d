// Mappings of all kinds that become longer and shorter all the while, in place and elsewhere, between such as cannot.
#define _GNU_SOURCE
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

enum { MOST_PAGES = 64, CHANGES = 100, PAUSE_US = 20, DEEPEST = 64, READ_WRITE = PROT_READ | PROT_WRITE };

static const struct kind {
  const char *name;
  int protection, flags;
  enum { NO_FILE, MEMFD, OWN_FILE, OWN_FILE_TO_READ } file;
} KINDS[] = {
    {"private memory", READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE},
    {"shared memory", READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, NO_FILE},
    {"a memfd", READ_WRITE, MAP_SHARED, MEMFD},
    {"a memfd that is only read", PROT_READ, MAP_SHARED, MEMFD},
    {"a private memfd", READ_WRITE, MAP_PRIVATE, MEMFD},
    {"a shared file", READ_WRITE, MAP_SHARED, OWN_FILE},
    {"a shared file that may only be read", PROT_READ, MAP_SHARED, OWN_FILE_TO_READ},
    {"a private file", READ_WRITE, MAP_PRIVATE, OWN_FILE_TO_READ},
};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS, MAPPING_COUNT = 3 * KIND_COUNT };

static struct mapping {
  const struct kind *kind;
  char *start, *above;
  size_t pages;
  uint64_t number;  // of its first page; 0 where it is not written
} mappings[MAPPING_COUNT];
static uint64_t last_number;

// Room for a mapping and a page below it. Above it is memory that is watched: who takes that to begin where the mapping
// ended when it was listed cuts off what it has grown by since.
static char *free_place(struct mapping *mapping) {
  size_t bytes = (MOST_PAGES + 1) * page_size();
  char *place = mmap(NULL, bytes + page_size(), READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED || munmap(place, bytes) != 0) die("mmap");
  if (mapping->above != NULL && munmap(mapping->above, page_size()) != 0) die("munmap");
  mapping->above = place + bytes;
  mapping->above[0] = 1;
  return place;
}

static int open_file(const struct kind *kind) {
  if (kind->file == NO_FILE) return -1;
  char name[] = "/tmp/growing-XXXXXX";
  int file = kind->file == MEMFD ? memfd_create("growing", MFD_CLOEXEC) : mkstemp(name);
  if (file < 0 || ftruncate(file, (off_t)(MOST_PAGES * page_size())) != 0) die("a file");
  if (kind->file == MEMFD) return file;
  int again = open(name, kind->file == OWN_FILE ? O_RDWR : O_RDONLY);
  unlink(name);
  close(file);
  if (again < 0) die("open");
  return again;
}

// What cannot be watched, or not be made longer, below a mapping.
static void map_neighbour(char *place, size_t at) {
  int file;
  switch (at % 3) {
    case 0:
      file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
      if (mmap(place, page_size(), PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED) die("mmap of a file");
      close(file);
      break;
    case 1:
      // MAP_DROPPABLE, which older kernels do not have.
      (void)mmap(place, page_size(), READ_WRITE, 0x08 | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      break;
    default:
      if (mmap(place, page_size(), READ_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) die("mmap");
  }
}

static void map(struct mapping *mapping, size_t at) {
  char *room = free_place(mapping);
  map_neighbour(room, at);
  const struct kind *kind = &KINDS[at % KIND_COUNT];
  int file = open_file(kind);
  mapping->kind = kind;
  // As long as it becomes: shared memory is no longer than it was made.
  mapping->pages = MOST_PAGES;
  mapping->start = mmap(room + page_size(), MOST_PAGES * page_size(), kind->protection, kind->flags | MAP_FIXED_NOREPLACE,
                        file, 0);
  if (mapping->start == MAP_FAILED) die("mmap");
  if (file >= 0) close(file);
}

static void check(const struct mapping *mapping) {
  if (!page_is(mapping->start, mapping->number)) harmed("%s is not what was written", mapping->kind->name);
}

static void verify(void) {
  for (size_t at = 0; at < MAPPING_COUNT; at++) check(&mappings[at]);
}

static void resize(struct mapping *mapping, size_t pages, char *place) {
  int flags = place == NULL ? MREMAP_MAYMOVE : MREMAP_MAYMOVE | MREMAP_FIXED;
  char *changed = mremap(mapping->start, mapping->pages * page_size(), pages * page_size(), flags, place);
  if (changed == MAP_FAILED) {
    harmed("%s of %zu pages cannot %s: %s", mapping->kind->name, mapping->pages,
           place == NULL ? "become longer or shorter" : "be moved", strerror(errno));
    return;
  }
  mapping->start = changed;
  mapping->pages = pages;
  check(mapping);
  if ((mapping->kind->protection & PROT_WRITE) == 0) return;
  // What has pages is looked for.
  changed[(pages - 1) * page_size()] += 1;
  mapping->number = ++last_number;
  page_fill(changed, mapping->number);
}

// Page by page, where it is or where there is room: what was listed is longer a moment later.
static void change(struct mapping *mapping) {
  if (random_below(4) == 0) resize(mapping, mapping->pages, free_place(mapping));
  for (int at = 0; at < CHANGES; at++) {
    resize(mapping, mapping->pages < MOST_PAGES ? mapping->pages + 1 : 1, NULL);
    usleep(PAUSE_US);
  }
}

static void change_heap(void) {
  static char *end;
  static size_t pages;
  if (end == NULL) end = sbrk(0);
  pages = random_below(MOST_PAGES);
  if (brk(end + pages * page_size()) != 0) harmed("the heap cannot be made longer: %s", strerror(errno));
  if (pages > 0) end[pages * page_size() - 1] = 1;
}

static __attribute__((noinline)) void go_deep(size_t pages) {
  volatile char *room = alloca(page_size());
  room[0] = (char)pages;
  if (pages > 0) go_deep(pages - 1);
  if (room[0] != (char)pages) harmed("the stack is not what was written");
}

static _Noreturn void grow(const struct settings *settings) {
  (void)settings;
  for (size_t at = 0; at < MAPPING_COUNT; at++) {
    map(&mappings[at], at);
    // Its ring is a mapping, which cannot be made longer.
    if (at % KIND_COUNT == 0) {
      aio_context_t context = 0;
      if (syscall(SYS_io_setup, 64, &context) != 0) die("io_setup");
    }
  }
  trial_begins(verify);
  for (size_t deepest = 0;; deepest = deepest < DEEPEST ? deepest + 1 : deepest) {
    change(&mappings[random_below(MAPPING_COUNT)]);
    change_heap();
    go_deep(deepest * 16);
    atomic_fetch_add(&shared->work, CHANGES);
    turn_ends();
  }
}

const struct trial growing_trials[] = {
    {.name = "growing", .what = "mappings of all kinds that become longer and shorter, and move, without rest", .run = grow},
    {0},
};
