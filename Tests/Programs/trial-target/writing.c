// Writers: pages of one area at random, or each page once and then never again.
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

static struct memory memory;

static void verify(void) { memory_check_all(&memory); }

static void begin(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  atomic_store(&shared->area_start, (uintptr_t)memory.start);
  atomic_store(&shared->area_end, (uintptr_t)memory.start + settings->size);
  trial_begins(verify);
}

// Writes as many pages as the rate wants up to now, and never more than a few at once.
static _Noreturn void go_on(const struct settings *settings, size_t (*next)(void)) {
  enum { BATCH = 256 };
  const struct timespec tick = {.tv_nsec = 1000000};
  int64_t began = now_us();
  uint64_t written = 0;
  for (;;) {
    uint64_t due = settings->rate == 0 ? written + BATCH : (uint64_t)(now_us() - began) * settings->rate / 1000000;
    if (due > written + BATCH) due = written + BATCH;
    for (; written < due; written++) {
      memory_write(&memory, next());
      atomic_fetch_add_explicit(&shared->work, 1, memory_order_relaxed);
    }
    turn_ends();
    if (settings->rate != 0) nanosleep(&tick, NULL);
  }
}

static size_t random_page(void) { return random_below(memory.pages); }

static _Noreturn void write_at_random(const struct settings *settings) {
  begin(settings);
  go_on(settings, random_page);
}

// A page that a copy has forgotten stays forgotten: it is not written again.
static _Noreturn void write_once(const struct settings *settings) {
  const struct timespec tick = {.tv_nsec = 1000000};
  begin(settings);
  int64_t began = now_us();
  uint64_t rate = settings->rate == 0 ? 1000 : settings->rate;
  for (size_t page = 0;;) {
    for (; page < memory.pages && page < (uint64_t)(now_us() - began) * rate / 1000000; page++) {
      memory_write(&memory, page);
      atomic_fetch_add(&shared->work, 1);
    }
    turn_ends();
    nanosleep(&tick, NULL);
  }
}

const struct trial writing_trials[] = {
    {.name = "write", .what = "writes pages at random", .run = write_at_random},
    {.name = "write-once", .what = "writes each page once more, in order, at a rate of 1000 unless --rate", .run = write_once},
    {0},
};
