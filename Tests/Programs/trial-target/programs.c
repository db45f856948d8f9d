// A process that executes itself anew again and again.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "shared.h"
#include "trials.h"

static struct memory memory;

static void verify(void) { memory_check_all(&memory); }

static void execute_anew(const struct settings *settings) {
  int count = 0;
  bool is_resumed = false;
  for (; settings->arguments[count] != NULL; count++)
    if (strcmp(settings->arguments[count], "--resumed") == 0) is_resumed = true;
  char **arguments = calloc((size_t)count + 2, sizeof *arguments);
  if (arguments == NULL) die("calloc");
  memcpy(arguments, settings->arguments, (size_t)count * sizeof *arguments);
  if (!is_resumed) {
    static char resumed[] = "--resumed";
    arguments[count] = resumed;
  }
  execv("/proc/self/exe", arguments);
  die("executing /proc/self/exe");
}

static _Noreturn void execute(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  trial_begins(verify);
  // After other lengths each time.
  uint64_t turn = atomic_load(&shared->turns);
  int64_t end = now_us() + (int64_t)(1 + turn * 7919 % settings->period_ms) * 1000;
  while (now_us() < end) {
    for (int at = 0; at < 16; at++) memory_write(&memory, random_below(memory.pages));
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
  }
  atomic_fetch_add(&shared->work, 1);
  turn_ends();
  execute_anew(settings);
  _exit(1);
}

const struct trial program_trials[] = {
    {.name = "exec", .what = "executes itself anew within --period", .run = execute},
    {0},
};
