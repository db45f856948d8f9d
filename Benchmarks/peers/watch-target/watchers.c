#define _GNU_SOURCE
#include "watchers.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "delays.h"
#include "die.h"

enum { REST_NS = 200000, MAPPED_BYTES = 64 << 10, FRESH_BYTES = 4 << 20 };

static char *area;
static size_t area_bytes, page;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void rest(void) { nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL); }

// The rest itself is what is timed: how much longer it was than it should have been.
static uint64_t watch_clock(void) {
  uint64_t began = now_ns();
  rest();
  uint64_t took = now_ns() - began;
  return took > REST_NS ? took - REST_NS : 0;
}

static uint64_t watch_mapping(void) {
  uint64_t began = now_ns();
  void *mapped = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED || munmap(mapped, MAPPED_BYTES) != 0) die("mmap and munmap");
  uint64_t took = now_ns() - began;
  rest();
  return took;
}

static uint64_t watch_first_touch(void) {
  static char *fresh;
  static size_t at = FRESH_BYTES;
  if (at == FRESH_BYTES) {
    // Not in the time: new memory, in single pages.
    if (fresh != NULL) munmap(fresh, FRESH_BYTES);
    fresh = mmap(NULL, FRESH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED || madvise(fresh, FRESH_BYTES, MADV_NOHUGEPAGE) != 0) die("mmap");
    at = 0;
  }
  uint64_t began = now_ns();
  *(volatile char *)(fresh + at) = 1;
  uint64_t took = now_ns() - began;
  at += page;
  rest();
  return took;
}

static uint64_t watch_write(void) {
  static uint64_t random = 0x9e3779b97f4a7c15;
  random ^= random << 13;
  random ^= random >> 7;
  random ^= random << 17;
  volatile uint64_t *word = (volatile uint64_t *)(area + (random >> 8) % (area_bytes / page) * page);
  uint64_t began = now_ns();
  *word = random;
  uint64_t took = now_ns() - began;
  rest();
  return took;
}

static struct watcher {
  const char *name;
  uint64_t (*watch)(void);
  struct delays delays;
} watchers[] = {
    {.name = "clock", .watch = watch_clock},
    {.name = "mapping", .watch = watch_mapping},
    {.name = "touch", .watch = watch_first_touch},
    {.name = "write", .watch = watch_write},
};

enum { COUNT = sizeof watchers / sizeof *watchers };

static void *go_on(void *argument) {
  struct watcher *watcher = argument;
  for (;;) delays_add(&watcher->delays, watcher->watch());
  return NULL;
}

void watchers_start(char *start, size_t bytes) {
  area = start;
  area_bytes = bytes;
  page = (size_t)sysconf(_SC_PAGESIZE);
  for (int at = 0; at < COUNT; at++) {
    pthread_t thread;
    errno = pthread_create(&thread, NULL, go_on, &watchers[at]);
    if (errno != 0) die("pthread_create");
  }
}

void watchers_begin(void) {
  for (int at = 0; at < COUNT; at++) delays_clear(&watchers[at].delays);
}

void watchers_print(void) {
  for (int at = 0; at < COUNT; at++) {
    const struct delays *delays = &watchers[at].delays;
    printf(" %s_count=%" PRIu64 " %s_p999_us=%.1f %s_longest_us=%.1f", watchers[at].name, delays_count(delays),
           watchers[at].name, (double)delays_all_but(delays, 1000) / 1000, watchers[at].name,
           (double)atomic_load(&delays->longest_ns) / 1000);
  }
}
