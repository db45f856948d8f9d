#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_numa.h"
#include "sluice_threads.h"

// What a thread does wrong is its own signal, which whoever writes about crashes wants to see.
static const int own_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT};

int sluice_start_thread(pthread_t *thread, void *(*body)(void *), void *context) {
  // The signals of the program that we are in are for its own threads. And a pipe whose reader has gone is an error then
  // (EPIPE), whatever SIGPIPE would do to the program. A new thread has the mask of the one that starts it.
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (size_t i = 0; i < sizeof own_signals / sizeof *own_signals; i++) sigdelset(&blocked, own_signals[i]);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  int result = FAULTY_RESULT(SLUICE_FAULT_START_THREAD, -pthread_create(thread, NULL, body, context));
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return result;
}

void sluice_name_this_thread(const char *name) {
  // PR_SET_NAME cuts a longer name off by itself; it cannot fail with a valid pointer.
  prctl(PR_SET_NAME, name, 0, 0, 0);
}

int sluice_pin_this_thread(const uint32_t *cpus, size_t count) {
  // cpu_set_t ends at 1024.
  enum { word_bits = 8 * sizeof(unsigned long) };
  unsigned long set[SLUICE_MAX_PROCESSORS / word_bits] = {0};
  for (size_t i = 0; i < count; i++) {
    if (cpus[i] >= SLUICE_MAX_PROCESSORS) return -EINVAL;
    set[cpus[i] / word_bits] |= 1UL << cpus[i] % word_bits;
  }
  return sched_setaffinity(0, sizeof set, (cpu_set_t *)set) < 0 ? -errno : 0;
}

static uint64_t nanoseconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t sluice_monotonic_nanoseconds(void) { return nanoseconds_of(CLOCK_MONOTONIC); }

uint64_t sluice_boottime_nanoseconds(void) { return nanoseconds_of(CLOCK_BOOTTIME); }

long sluice_clock_ticks_per_second(void) { return sysconf(_SC_CLK_TCK); }

void sluice_move_to_processor(uint32_t number) {
  cpu_set_t all, one;
  // On a machine with more processors than fit, the scheduler does without.
  if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2) return;
  uint32_t left = number % (uint32_t)CPU_COUNT(&all);
  for (int processor = 0; processor < CPU_SETSIZE; processor++) {
    if (!CPU_ISSET(processor, &all) || left-- > 0) continue;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) sched_setaffinity(0, sizeof all, &all);
    return;
  }
}
