// A single thread that sleeps, for a time or until one, or waits for a child that does; and looks whether it slept right.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "registers.h"
#include "shared.h"
#include "trials.h"
#include "turns.h"

enum { EXIT_CODE = 7 };

// A sleep that ends too early is wrong; how much too late it may be, others must say.
static void judge(int64_t due) {
  int64_t late = now_us() - due;
  if (late < -1) harmed("a sleep ended %lld us too early", (long long)-late);
  if (late > 0 && (uint64_t)late > atomic_load(&shared->latest_us)) atomic_store(&shared->latest_us, (uint64_t)late);
}

static struct timespec in_us(int64_t us) { return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000}; }

static int64_t length(const struct settings *settings) {
  return 1000 + (int64_t)random_below(settings->period_ms) * 1000;
}

static _Noreturn void sleep_for(const struct settings *settings) {
  begin_turns(settings);
  for (;;) {
    int64_t us = length(settings), due = now_us() + us;
    struct timespec wanted = in_us(us), left = {.tv_sec = -1};
    long result = watched_call((struct call){SYS_nanosleep, {(long)&wanted, (long)&left}}, 0);
    // Only a signal with a handler ends it, and none is sent: it goes on with what it says is left.
    while (result == -EINTR) {
      atomic_fetch_add(&shared->interrupted, 1);
      if (left.tv_sec < 0 || (int64_t)left.tv_sec * 1000000 + left.tv_nsec / 1000 > us)
        harmed("nanosleep says that more is left than there was");
      wanted = left;
      result = watched_call((struct call){SYS_nanosleep, {(long)&wanted, (long)&left}}, 0);
    }
    if (result != 0) harmed("nanosleep answered %ld", result);
    judge(due);
    next_turn();
  }
}

static _Noreturn void sleep_until(const struct settings *settings) {
  begin_turns(settings);
  for (;;) {
    int64_t due = now_us() + length(settings);
    struct timespec until = in_us(due);
    long result = watched_call((struct call){SYS_clock_nanosleep, {CLOCK_MONOTONIC, TIMER_ABSTIME, (long)&until}}, 1);
    if (result != 0) harmed("clock_nanosleep answered %ld", result);
    judge(due);
    next_turn();
  }
}

static pid_t start_sleeping_child(const struct settings *settings) {
  pid_t parent = getpid();
  int64_t us = length(settings);
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child > 0) return child;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
  struct timespec wanted = in_us(us);
  while (nanosleep(&wanted, &wanted) != 0) atomic_fetch_add(&shared->interrupted, 1);
  _exit(EXIT_CODE);
}

static _Noreturn void wait_for_children(const struct settings *settings) {
  begin_turns(settings);
  for (;;) {
    pid_t child = start_sleeping_child(settings);
    int status = -1;
    long result = watched_call((struct call){SYS_wait4, {child, (long)&status}}, 1);
    if (result != child || !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_CODE)
      harmed("wait4 answered %ld, status 0x%x", result, status);
    next_turn();
  }
}

const struct trial sleeping_trials[] = {
    {.name = "sleep", .what = "sleeps up to --period", .run = sleep_for},
    {.name = "sleep-until", .what = "sleeps until a time within --period", .run = sleep_until},
    {.name = "wait", .what = "waits in waitpid for a child that sleeps up to --period", .run = wait_for_children},
    {0},
};
