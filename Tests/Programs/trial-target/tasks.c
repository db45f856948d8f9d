// Processes and threads that are born and die without end.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

enum { WRITES_A_LIFE = 32, LONGEST_LIFE_US = 20000 };

static struct memory memory;

static void verify(void) { memory_check_all(&memory); }

static void live(void) { nanosleep(&(struct timespec){.tv_nsec = (long)random_below(LONGEST_LIFE_US) * 1000}, NULL); }

// Each child writes pages that it shared with its parent until then.
static void start_child(uint64_t number) {
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child > 0) return;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
  for (uint64_t skip = number % 64; skip > 0; skip--) random_word();
  for (int at = 0; at < WRITES_A_LIFE; at++) memory_write(&memory, random_below(memory.pages));
  live();
  memory_check_all(&memory);
  _exit(0);
}

static _Noreturn void fork_without_end(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  trial_begins(verify);
  unsigned alive = 0;
  for (uint64_t number = 0;; number++) {
    for (; alive < settings->count; alive++) start_child(number);
    int status;
    pid_t ended;
    while ((ended = waitpid(-1, &status, 0)) < 0) {
      if (errno != EINTR) die("waitpid");
      atomic_fetch_add(&shared->interrupted, 1);
    }
    alive--;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) harmed("a child ended with status 0x%x", status);
    for (int at = 0; at < WRITES_A_LIFE; at++) memory_write(&memory, random_below(memory.pages));
    atomic_fetch_add(&shared->work, 1);
    turn_ends();
  }
}

static struct {
  pthread_mutex_t lock;
  pthread_attr_t small;
} births = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *be_born(void *unused) {
  unsigned char on_stack[8192];
  for (size_t at = 0; at < sizeof on_stack; at++) on_stack[at] = (unsigned char)at;
  pthread_mutex_lock(&births.lock);
  // random_word is a thread's own, and each thread would do the same.
  size_t page = (size_t)(atomic_load(&shared->work) * 40503 % memory.pages);
  for (int at = 0; at < WRITES_A_LIFE; at++) memory_write(&memory, (page + (size_t)at * 7) % memory.pages);
  pthread_mutex_unlock(&births.lock);
  nanosleep(&(struct timespec){.tv_nsec = (long)(page % 500) * 1000}, NULL);
  for (size_t at = 0; at < sizeof on_stack; at++)
    if (((volatile unsigned char *)on_stack)[at] != (unsigned char)at) harmed("byte %zu of a thread's stack changed", at);
  atomic_fetch_add(&shared->work, 1);
  pthread_t next;
  int error = pthread_create(&next, &births.small, be_born, NULL);
  if (error != 0) {
    errno = error;
    die("pthread_create");
  }
  return unused;
}

static void verify_births(void) {
  pthread_mutex_lock(&births.lock);
  memory_check_all(&memory);
  pthread_mutex_unlock(&births.lock);
}

static _Noreturn void bear_threads(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  pthread_attr_init(&births.small);
  pthread_attr_setdetachstate(&births.small, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&births.small, 64 << 10);
  for (unsigned at = 0; at < settings->count; at++) {
    pthread_t first;
    if (pthread_create(&first, &births.small, be_born, NULL) != 0) die("pthread_create");
  }
  trial_begins(verify_births);
  for (;;) {
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    turn_ends();
  }
}

static void *sleep_for_good(void *unused) {
  for (;;) pause();
  return unused;
}

static _Noreturn void sleep_in_many(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  pthread_attr_init(&births.small);
  pthread_attr_setstacksize(&births.small, 64 << 10);
  for (unsigned at = 0; at < settings->count; at++) {
    pthread_t thread;
    if (pthread_create(&thread, &births.small, sleep_for_good, NULL) != 0) die("pthread_create");
  }
  trial_begins(verify);
  for (;;) {
    for (int at = 0; at < WRITES_A_LIFE; at++) memory_write(&memory, random_below(memory.pages));
    atomic_fetch_add(&shared->work, WRITES_A_LIFE);
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    turn_ends();
  }
}

const struct trial task_trials[] = {
    {.name = "fork", .what = "--count children at a time, each of which writes, checks all memory and ends", .run = fork_without_end},
    {.name = "births", .what = "--count threads at a time, each of which starts the next one and ends", .run = bear_threads},
    {.name = "sleepers", .what = "--count threads that do nothing, and one that writes pages", .run = sleep_in_many},
    {0},
};
