// Processes that share one memory (CLONE_VM), or one pid in pid namespaces of their own.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

enum { WRITES_A_TURN = 32, STACK_BYTES = 64 << 10 };

static struct memory memory;

static void verify(void) { memory_check_all(&memory); }

static char *new_stack(void) {
  char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) die("mmap");
  return stack + STACK_BYTES;
}

static void rest(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

// Those that share a memory have every other page each, and numbers of their own: a ledger has no locks.
static void write_some(unsigned *seed, size_t step, size_t first) {
  for (int at = 0; at < WRITES_A_TURN; at++)
    memory_write(&memory, (size_t)rand_r(seed) % (memory.pages / step) * step + first);
}

static _Noreturn void write_half(size_t first) {
  for (unsigned seed = (unsigned)first;;) {
    write_some(&seed, 2, first);
    rest();
  }
}

static int be_sibling(void *unused) {
  (void)unused;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) _exit(1);
  write_half(1);
  return 0;
}

static _Noreturn void be_owner(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
  if (clone(be_sibling, new_stack(), CLONE_VM | CLONE_PARENT | SIGCHLD, NULL) < 0) die("clone");
  write_half(0);
}

static _Noreturn void go_on(void) {
  trial_begins(verify);
  for (unsigned seed = 1;;) {
    write_some(&seed, 1, 0);
    atomic_fetch_add(&shared->work, WRITES_A_TURN);
    turn_ends();
    rest();
  }
}

static _Noreturn void share_memory(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  pid_t own = getpid(), child = fork();
  if (child < 0) die("fork");
  if (child == 0) be_owner(own);
  go_on();
}

static int be_first(void *unused) {
  (void)unused;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) _exit(1);
  for (unsigned seed = 3;;) {
    write_some(&seed, 1, 0);
    rest();
  }
  return 0;
}

static _Noreturn void share_name(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  for (int at = 0; at < 2; at++)
    if (clone(be_first, new_stack(), CLONE_NEWPID | SIGCHLD, NULL) < 0) not_possible("a pid namespace");
  go_on();
}

const struct trial related_trials[] = {
    {.name = "share", .what = "a child and a sibling of it that share one memory, and write to half of the pages each", .run = share_memory},
    {.name = "names", .what = "two children, each the first process of a pid namespace", .run = share_name},
    {0},
};
