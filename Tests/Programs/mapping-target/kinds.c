// Memory of the odd kinds that a process can have. Headers of Debian 12 lack some of the names.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "commands.h"
#include "memory.h"

enum { READ_WRITE = PROT_READ | PROT_WRITE };

static void *map_new_file(const char *path, size_t pages, void *address) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, (off_t)(pages * page_size())) < 0) return MAP_FAILED;
  // hugetlbfs has no write, and a file on it may as well be zeros.
  for (size_t page = 0; page < pages && pwrite(file, "x", 1, (off_t)(page * page_size())) == 1; page++) continue;
  int flags = MAP_PRIVATE | (address != NULL ? MAP_FIXED : 0);
  void *start = mmap(address, pages * page_size(), READ_WRITE, flags, file, 0);
  close(file);
  if (start != MAP_FAILED) read_pages(start, pages);
  return start;
}

static void map_file(const struct words *words) {
  answer_mapping(map_new_file(words->word[0], number_in(words, 1), NULL));
}

static void map_file_at(const struct words *words) {
  answer_mapping(map_new_file(words->word[2], number_in(words, 1), address_in(words, 0)));
}

static void make_aio(const struct words *words) {
  (void)words;
  unsigned long context = 0;
  if (syscall(SYS_io_setup, 1, &context) < 0) {
    answer_errno();
  } else {
    answer_number((long)context);
  }
}

static void map_ring(const struct words *words) {
  (void)words;
  struct io_uring_params parameters = {0};
  int ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
  if (ring < 0) {
    answer_errno();
    return;
  }
  answer_mapping(mmap(NULL, page_size(), READ_WRITE, MAP_PRIVATE, ring, IORING_OFF_SQES));
}

static void map_hugetlb(const struct words *words) {
  size_t size = number_in(words, 0) * page_size();
  void *start = mmap(NULL, size, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (start != MAP_FAILED) fill(start, number_in(words, 0));
  answer_mapping(start);
}

static void map_hugetlb_memfd(const struct words *words) {
  size_t size = number_in(words, 0) * page_size();
  int file = memfd_create("odd", MFD_CLOEXEC | MFD_HUGETLB);
  if (file < 0 || ftruncate(file, (off_t)size) < 0) {
    answer_errno();
    return;
  }
  void *start = mmap(NULL, size, READ_WRITE, MAP_PRIVATE, file, 0);
  close(file);
  if (start != MAP_FAILED) fill(start, number_in(words, 0));
  answer_mapping(start);
}

static void map_droppable(const struct words *words) {
  // MAP_DROPPABLE, which is a type as MAP_PRIVATE is.
  void *start = map_alone(number_in(words, 0), READ_WRITE, 0x08);
  if (start != MAP_FAILED) fill(start, number_in(words, 0));
  answer_mapping(start);
}

// With so much room below it that it can grow by as much as it has.
static void map_stack(const struct words *words) {
  enum { GAP = 256 }; // the kernel's stack_guard_gap
  size_t pages = number_in(words, 0);
  char *room = free_range(2 * pages + GAP);
  if (room == MAP_FAILED) {
    answer_errno();
    return;
  }
  char *start = mmap(room + (pages + GAP) * page_size(), pages * page_size(), READ_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_STACK, -1, 0);
  if (start != MAP_FAILED) fill(start, pages);
  answer_mapping(start);
}

static void map_shadow_stack(const struct words *words) {
  // map_shadow_stack(2), with a token at its end; the process itself cannot write the rest.
  long start = syscall(453, 0, number_in(words, 0) * page_size(), 1);
  answer_mapping(start < 0 ? MAP_FAILED : (void *)start);
}

// Above the 47 bits that a process gets unless it asks for more.
static void map_high(const struct words *words) {
  size_t size = number_in(words, 0) * page_size();
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  void *start = mmap((void *)(UINT64_C(1) << 52), size, READ_WRITE, flags, -1, 0);
  if (start != MAP_FAILED) fill(start, number_in(words, 0));
  answer_mapping(start);
}

// A userfaultfd of ours that the range is registered with, or -1. Nobody reads it: who faults waits for good. It stays open, for its end
// would be the end of what it was used for.
static int register_as(const struct words *words, uint64_t features, uint64_t mode) {
  struct uffdio_range range = {.start = (uintptr_t)address_in(words, 0), .len = number_in(words, 1) * page_size()};
  struct uffdio_api api = {.api = UFFD_API, .features = features};
  struct uffdio_register area = {.range = range, .mode = mode};
  int faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
  if (faults < 0 || ioctl(faults, UFFDIO_API, &api) < 0 || ioctl(faults, UFFDIO_REGISTER, &area) < 0) return -1;
  return faults;
}

static int register_faults(const struct words *words, uint64_t features) {
  return register_as(words, features, UFFDIO_REGISTER_MODE_MISSING);
}

static void catch_faults(const struct words *words) { answer_result(register_faults(words, 0) < 0 ? -1 : 0); }

// The same, but only a child has the userfaultfd.
static void catch_faults_elsewhere(const struct words *words) {
  int faults = register_faults(words, 0);
  pid_t child = faults < 0 ? -1 : fork();
  if (child == 0)
    for (;;) pause();
  close(faults);
  answer_result(child < 0 ? -1 : 0);
}

// A userfaultfd of ours that the range is protected by: who writes there waits for good.
static void catch_writes(const struct words *words) {
  struct uffdio_range range = {.start = (uintptr_t)address_in(words, 0), .len = number_in(words, 1) * page_size()};
  struct uffdio_writeprotect protection = {.range = range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  int faults = register_as(words, UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFDIO_REGISTER_MODE_WP);
  answer_result(faults < 0 ? -1 : ioctl(faults, UFFDIO_WRITEPROTECT, &protection));
}

// The kernel's struct pm_scan_arg and page_region.
struct scan {
  uint64_t size, flags, start, end, walk_end, regions, capacity, most, inverted, mask, any_of, returned;
};
struct region {
  uint64_t start, end, categories;
};

// How many pages were written since the last such look, and protects them again: PM_SCAN_WP_MATCHING, PAGE_IS_WRITTEN.
static long written_pages(const struct words *words) {
  struct region regions[64];
  struct scan scan = {.size = sizeof scan,
                      .flags = 1,
                      .start = (uintptr_t)address_in(words, 0),
                      .regions = (uintptr_t)regions,
                      .capacity = 64,
                      .mask = 2,
                      .returned = 2};
  scan.end = scan.start + number_in(words, 1) * page_size();
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  int found = ioctl(pagemap, _IOWR('f', 16, struct scan), &scan);
  close(pagemap);
  long pages = 0;
  for (int at = 0; at < found; at++) pages += (long)((regions[at].end - regions[at].start) / page_size());
  return found < 0 ? -1 : pages;
}

// The same as Sluice does: pages are protected asynchronously (UFFD_FEATURE_WP_ASYNC and what it needs).
static void watch_itself(const struct words *words) {
  int faults = register_as(words, 1 << 15 | 1 << 13 | UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFDIO_REGISTER_MODE_WP);
  answer_result(faults < 0 || written_pages(words) < 0 ? -1 : 0);
}

static void tell_written(const struct words *words) { answer_number(written_pages(words)); }

// The kernel's struct uffdio_poison.
struct poison {
  struct uffdio_range range;
  uint64_t mode;
  int64_t updated;
};

static void poison(const struct words *words) {
  void *start = address_in(words, 0);
  size_t size = number_in(words, 1) * page_size();
  struct poison order = {.range = {.start = (uintptr_t)start, .len = size}};
  int faults = register_faults(words, 1 << 14); // UFFD_FEATURE_POISON
  if (faults < 0 || madvise(start, size, MADV_DONTNEED) < 0) {
    answer_errno();
  } else {
    answer_result(ioctl(faults, _IOWR(UFFDIO, 0x08, struct poison), &order));
  }
}

const struct command kind_commands[] = {
    {"file", 2, map_file},
    {"file-at", 3, map_file_at},
    {"aio", 0, make_aio},
    {"ring", 0, map_ring},
    {"hugetlb", 1, map_hugetlb},
    {"hugetlb-memfd", 1, map_hugetlb_memfd},
    {"droppable", 1, map_droppable},
    {"stack", 1, map_stack},
    {"shadow-stack", 1, map_shadow_stack},
    {"high", 1, map_high},
    {"catch-faults", 2, catch_faults},
    {"catch-faults-elsewhere", 2, catch_faults_elsewhere},
    {"catch-writes", 2, catch_writes},
    {"watch-itself", 2, watch_itself},
    {"written", 2, tell_written},
    {"poison", 2, poison},
    {NULL, 0, NULL},
};
