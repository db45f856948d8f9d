// A process that goes by its own soft-dirty bits, as some collectors of garbage do: who else clears them hides writes from it.
#include <fcntl.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

enum { WRITES = 8 };
static const uint64_t SOFT_DIRTY = 1ull << 55;

static struct memory memory;
static int clear_refs, pagemap;

static void verify(void) { memory_check_all(&memory); }

static void clear(void) {
  if (pwrite(clear_refs, "4", 1, 0) != 1) die("writing /proc/self/clear_refs");
}

static bool is_dirty(size_t page) {
  uint64_t entry;
  off_t place = (off_t)((uintptr_t)memory.start / page_size() + page) * (off_t)sizeof entry;
  if (pread(pagemap, &entry, sizeof entry, place) != sizeof entry) die("reading /proc/self/pagemap");
  return (entry & SOFT_DIRTY) != 0;
}

static bool is_told(size_t page) {
  clear();
  memory_write(&memory, page);
  return is_dirty(page);
}

static _Noreturn void mark(const struct settings *settings) {
  clear_refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (clear_refs < 0 || pagemap < 0) not_possible("opening /proc/self/clear_refs and pagemap");
  memory = memory_make(settings->size, settings->huge);
  // Without CONFIG_MEM_SOFT_DIRTY the bit is never set, or ever.
  if (!is_told(0) || is_dirty(1)) not_possible("the kernel keeps no soft-dirty bits");
  trial_begins(verify);
  for (;;) {
    size_t pages[WRITES];
    clear();
    for (int at = 0; at < WRITES; at++) memory_write(&memory, pages[at] = random_below(memory.pages));
    usleep(1000);
    for (int at = 0; at < WRITES; at++)
      if (!is_dirty(pages[at])) harmed("page %zu is not soft-dirty though it was written", pages[at]);
    atomic_fetch_add(&shared->work, WRITES);
    turn_ends();
  }
}

const struct trial marking_trials[] = {
    {.name = "own-bits", .what = "clears its soft-dirty bits, and goes by them", .run = mark},
    {0},
};
