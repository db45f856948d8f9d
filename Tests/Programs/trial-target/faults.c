// A process that answers its own page faults: its mapping cannot be registered with another userfaultfd.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

static int faults;
static char *start;
static size_t pages;
static _Atomic uint64_t *numbers;  // what is in each page, or will be when it is touched

static void answer(uint64_t address) {
  static _Alignas(4096) char page[65536];
  size_t at = (size_t)(address - (uintptr_t)start) / page_size();
  page_fill(page, atomic_load(&numbers[at]));
  struct uffdio_copy copy = {.dst = (uintptr_t)start + at * page_size(), .src = (uintptr_t)page, .len = page_size()};
  while (ioctl(faults, UFFDIO_COPY, &copy) != 0) {
    if (errno == EAGAIN) continue;
    if (errno != EEXIST) die("UFFDIO_COPY");
    struct uffdio_range range = {copy.dst, copy.len};
    if (ioctl(faults, UFFDIO_WAKE, &range) != 0) die("UFFDIO_WAKE");
    break;
  }
}

static void *answer_without_end(void *unused) {
  for (;;) {
    struct uffd_msg message;
    ssize_t got = read(faults, &message, sizeof message);
    if (got == sizeof message && message.event == UFFD_EVENT_PAGEFAULT) {
      answer(message.arg.pagefault.address);
    } else if (got < 0 && errno == EINTR) {
      // So does a userfaultfd's read whenever its thread is stopped with something else to do.
      atomic_fetch_add(&shared->interrupted, 1);
    } else {
      die("reading a userfaultfd");
    }
  }
  return unused;
}

static void check(size_t at) {
  if (!page_is(start + at * page_size(), atomic_load(&numbers[at]))) harmed("page %zu is not what the handler gave", at);
}

static void verify(void) {
  for (size_t at = 0; at < pages; at++) check(at);
}

static _Noreturn void answer_own_faults(const struct settings *settings) {
  faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  // Not for user mode alone: whoever reads this memory from outside must be answered as well.
  int both = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
  if (both >= 0) {
    if (faults >= 0) close(faults);
    faults = both;
  }
  if (faults < 0) not_possible("userfaultfd");
  struct uffdio_api api = {.api = UFFD_API};
  if (ioctl(faults, UFFDIO_API, &api) != 0) die("UFFDIO_API");
  start = map_apart(settings->size, settings->huge);
  pages = settings->size / page_size();
  numbers = calloc(pages, sizeof *numbers);
  if (numbers == NULL) die("calloc");
  for (size_t at = 0; at < pages; at++) atomic_store(&numbers[at], at + 1);
  struct uffdio_register range = {.range = {(uintptr_t)start, settings->size}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (ioctl(faults, UFFDIO_REGISTER, &range) != 0) die("UFFDIO_REGISTER");
  pthread_t thread;
  if (pthread_create(&thread, NULL, answer_without_end, NULL) != 0) die("pthread_create");
  verify();
  trial_begins(verify);
  for (uint64_t number = pages + 1;; number++) {
    size_t at = random_below(pages);
    check(at);
    atomic_store(&numbers[at], number);
    if (random_below(2)) {
      page_fill(start + at * page_size(), number);
    } else {
      if (madvise(start + at * page_size(), page_size(), MADV_DONTNEED) != 0) die("madvise");
      check(at);
    }
    atomic_fetch_add(&shared->work, 1);
    turn_ends();
  }
}

const struct trial fault_trials[] = {
    {.name = "own-faults", .what = "answers its own page faults with a userfaultfd", .run = answer_own_faults},
    {0},
};
