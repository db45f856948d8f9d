// watch-target: a process with much memory, which notes how long it waits for what it does, and writes pages as it is told.
//
//   watch-target --size BYTES [--huge] [--watchers] [--threads N]
//
// It says "ready PID" when all is populated, and then obeys lines on standard input, with a line each:
//
//   begin          the watchers begin to note -> "ok"
//   end            -> "ok clock_count=N clock_p999_us=F clock_longest_us=F mapping_... touch_... write_..."
//   sweep N        writes a word in each page, N times over -> "ok us=N pages=N"
//   sweep-for MS   the same again and again for so long -> "ok us=N pages=N"
//   spread N AT    writes a word in every N-th page, beginning with number AT -> "ok us=N pages=N"
//
// It ends when the input does. Exit codes: 0; 1 a system call failed; 2 wrong usage.
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "die.h"
#include "watchers.h"

enum { HUGE_BYTES = 2 << 20, MOST_WATCHED = 64 << 20 };

static char *area;
static size_t area_bytes, page;

static uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void populate(bool huge) {
  area = mmap(NULL, area_bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) die("mmap");
  area = (char *)(((uintptr_t)area + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
  if (madvise(area, area_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0) die("madvise");
  // No zero pages: those would be left out.
  for (size_t at = 0; at < area_bytes; at += page) *(uint64_t *)(area + at) = at + 1;
}

static uint64_t sweep(void) {
  static uint64_t generation;
  generation++;
  for (size_t at = 0; at < area_bytes; at += page) *(volatile uint64_t *)(area + at) = at + 1 + generation;
  return area_bytes / page;
}

static uint64_t spread(uint64_t every, uint64_t first) {
  uint64_t count = 0;
  for (size_t at = first * page; at < area_bytes; at += every * page, count++) ++*(volatile uint64_t *)(area + at);
  return count;
}

static void obey(const char *line) {
  uint64_t one, two, pages = 0, began = now_us();
  if (strcmp(line, "begin\n") == 0) {
    watchers_begin();
    puts("ok");
    return;
  }
  if (strcmp(line, "end\n") == 0) {
    fputs("ok", stdout);
    watchers_print();
    putchar('\n');
    return;
  }
  if (sscanf(line, "sweep-for %" SCNu64, &one) == 1) {
    while (now_us() - began < one * 1000) pages += sweep();
  } else if (sscanf(line, "sweep %" SCNu64, &one) == 1) {
    while (one-- > 0) pages += sweep();
  } else if (sscanf(line, "spread %" SCNu64 " %" SCNu64, &one, &two) == 2 && one > 0) {
    pages = spread(one, two);
  } else {
    puts("failed no such command");
    return;
  }
  printf("ok us=%" PRIu64 " pages=%" PRIu64 "\n", now_us() - began, pages);
}

static void *sleep_for_good(void *unused) {
  for (;;) pause();
  return unused;
}

static void start_sleepers(unsigned count) {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  for (; count > 0; count--) {
    pthread_t thread;
    errno = pthread_create(&thread, &small, sleep_for_good, NULL);
    if (errno != 0) die("pthread_create");
  }
}

int main(int count, char **arguments) {
  static const struct option options[] = {{"size", required_argument, NULL, 's'}, {"huge", no_argument, NULL, 'h'},
                                          {"watchers", no_argument, NULL, 'w'},   {"threads", required_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
  bool huge = false, has_watchers = false;
  unsigned threads = 0;
  for (int code; (code = getopt_long(count, arguments, "", options, NULL)) != -1;) {
    if (code == 's') {
      area_bytes = strtoull(optarg, NULL, 10) & ~(size_t)(HUGE_BYTES - 1);
    } else if (code == 'h') {
      huge = true;
    } else if (code == 'w') {
      has_watchers = true;
    } else if (code == 't') {
      threads = (unsigned)strtoul(optarg, NULL, 10);
    } else {
      return 2;
    }
  }
  if (area_bytes == 0 || optind < count) {
    fputs("watch-target: --size BYTES is wanted\n", stderr);
    return 2;
  }
  page = (size_t)sysconf(_SC_PAGESIZE);
  setvbuf(stdout, NULL, _IOLBF, 0);
  populate(huge);
  start_sleepers(threads);
  if (has_watchers) watchers_start(area, area_bytes < MOST_WATCHED ? area_bytes : MOST_WATCHED);
  printf("ready %d\n", (int)getpid());
  char line[128];
  while (fgets(line, sizeof line, stdin) != NULL) obey(line);
  return 0;
}
