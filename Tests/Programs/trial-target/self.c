#define _GNU_SOURCE
#include "self.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared.h"

enum { MOST_DESCRIPTORS = 64, ALTERNATE_STACK = 64 << 10, LOOKS = 50 };

static bool is_open[MOST_DESCRIPTORS];
static sigset_t mask;
static stack_t alternate;
static _Atomic uint64_t traps;

static void count_trap(int number) {
  (void)number;
  atomic_fetch_add(&traps, 1);
}

// Finds one that was not there before, or -1. Its target, as /proc tells it, is put into `text`.
static int stray_descriptor(char *text, size_t size) {
  int stray = -1;
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL) die("opening /proc/self/fd");
  for (struct dirent *entry; stray < 0 && (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    int number = atoi(entry->d_name);
    if (number == dirfd(directory) || (number < MOST_DESCRIPTORS && is_open[number])) continue;
    ssize_t length = readlinkat(dirfd(directory), entry->d_name, text, size - 1);
    // It may be gone again.
    if (length < 0) continue;
    text[length] = 0;
    stray = number;
  }
  closedir(directory);
  return stray;
}

static void check_descriptors(void) {
  char text[128];
  int stray = -1;
  // One thread may be lent a descriptor for a moment, in which another one looks: what counts is what stays.
  for (int look = 0; look < LOOKS; look++) {
    stray = stray_descriptor(text, sizeof text);
    if (stray < 0) break;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
  if (stray >= 0) {
    harmed("descriptor %d, %s, is not its own", stray, text);
    // Told once.
    if (stray < MOST_DESCRIPTORS) is_open[stray] = true;
  }
  for (int number = 0; number < MOST_DESCRIPTORS; number++) {
    if (!is_open[number] || fcntl(number, F_GETFD) >= 0) continue;
    harmed("descriptor %d is gone", number);
    is_open[number] = false;
  }
}

void self_remember(void) {
  struct sigaction action = {.sa_handler = count_trap, .sa_flags = SA_RESTART};
  if (sigaction(SIGTRAP, &action, NULL) != 0) die("sigaction");
  alternate = (stack_t){.ss_sp = malloc(ALTERNATE_STACK), .ss_size = ALTERNATE_STACK};
  if (alternate.ss_sp == NULL || sigaltstack(&alternate, NULL) != 0) die("sigaltstack");
  if (sigprocmask(SIG_BLOCK, NULL, &mask) != 0) die("sigprocmask");
  for (int number = 0; number < MOST_DESCRIPTORS; number++) is_open[number] = fcntl(number, F_GETFD) >= 0;
}

void self_check(void) {
  struct sigaction action;
  sigset_t mask_now;
  stack_t alternate_now;
  check_descriptors();
  if (sigaction(SIGTRAP, NULL, &action) != 0 || action.sa_handler != count_trap) {
    harmed("the handler of SIGTRAP is not its own");
    signal(SIGTRAP, count_trap);
  }
  uint64_t seen = atomic_exchange(&traps, 0);
  if (seen > 0) harmed("%llu SIGTRAP came", (unsigned long long)seen);
  if (sigprocmask(SIG_BLOCK, NULL, &mask_now) != 0) die("sigprocmask");
  for (int number = 1; number < NSIG; number++) {
    if (sigismember(&mask, number) == sigismember(&mask_now, number)) continue;
    harmed("signal %d is %s", number, sigismember(&mask_now, number) ? "blocked" : "no longer blocked");
    sigprocmask(SIG_SETMASK, &mask, NULL);
  }
  if (sigaltstack(NULL, &alternate_now) != 0) die("sigaltstack");
  if (alternate_now.ss_sp != alternate.ss_sp || alternate_now.ss_size != alternate.ss_size) {
    harmed("the alternate stack is not its own");
    sigaltstack(&alternate, NULL);
  }
}
