// A single thread that waits for a signal, or is inside a handler nearly all the time. Each signal brings a number, so that
// one that is lost, or comes twice, is noticed.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "registers.h"
#include "shared.h"
#include "trials.h"

enum { WRITES_A_TURN = 8, STEPS = 200000 };

static struct memory memory;
static _Atomic uint32_t last_number;
static _Atomic uint64_t received;
static long long_ms;

static void verify(void) { memory_check_all(&memory); }

static void send_number(pid_t subject, uint32_t number) {
  // It may have ended.
  if (sigqueue(subject, SIGRTMIN, (union sigval){.sival_int = (int)number}) != 0 && errno != ESRCH) die("sigqueue");
}

static void take_number(siginfo_t *information) {
  atomic_store(&last_number, (uint32_t)information->si_value.sival_int);
  atomic_fetch_add(&received, 1);
}

static void note(int number, siginfo_t *information, void *unused) {
  (void)number;
  (void)unused;
  take_number(information);
}

// Stays for long, half of it computing and half asleep.
static void stay(int number, siginfo_t *information, void *unused) {
  (void)number;
  (void)unused;
  int64_t end = now_us() + long_ms * 1000;
  while (now_us() < end) watched_steps(STEPS);
  struct timespec wanted = {.tv_nsec = long_ms * 1000000 % 1000000000};
  long result = watched_call((struct call){SYS_nanosleep, {(long)&wanted, 0}}, 0);
  if (result == -EINTR) atomic_fetch_add(&shared->interrupted, 1);
  take_number(information);
}

static sigset_t begin(const struct settings *settings, void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigset_t blocked, open;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN);
  if (sigprocmask(SIG_BLOCK, &blocked, &open) != 0 || sigaction(SIGRTMIN, &action, NULL) != 0) die("sigaction");
  memory = memory_make(settings->size, settings->huge);
  long_ms = 1 + (long)settings->period_ms / 2;
  trial_begins(verify);
  return open;
}

static void expect_one(uint32_t expected, uint64_t before) {
  uint64_t came = atomic_load(&received) - before;
  if (came != 1) harmed("%llu signals came instead of one", (unsigned long long)came);
  if (came == 1 && atomic_load(&last_number) != expected)
    harmed("signal %u came instead of %u", atomic_load(&last_number), expected);
  for (int at = 0; at < WRITES_A_TURN; at++) memory_write(&memory, random_below(memory.pages));
  atomic_fetch_add(&shared->work, 1);
  turn_ends();
}

static _Noreturn void wait_suspended(const struct settings *settings, void (*handler)(int, siginfo_t *, void *)) {
  sigset_t open = begin(settings, handler);
  for (;;) {
    uint64_t before = atomic_load(&received);
    uint32_t expected = atomic_fetch_add(&shared->waits, 1) + 1;
    long result = watched_call((struct call){SYS_rt_sigsuspend, {(long)&open, 8}}, 0);
    // The only thing that it ever answers; but not without a signal.
    if (result != -EINTR) harmed("rt_sigsuspend answered %ld", result);
    expect_one(expected, before);
  }
}

static _Noreturn void suspend(const struct settings *settings) { wait_suspended(settings, note); }

static _Noreturn void be_in_handler(const struct settings *settings) { wait_suspended(settings, stay); }

const struct trial signal_trials[] = {
    {.name = "suspend", .what = "waits in sigsuspend for a signal", .run = suspend, .wake = send_number},
    {.name = "handler", .what = "is inside a signal handler, on an alternate stack", .run = be_in_handler, .wake = send_number},
    {0},
};
