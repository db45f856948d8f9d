// A single thread that computes, without a system call for long, and looks at its registers.
#include "memory.h"
#include "registers.h"
#include "shared.h"
#include "trials.h"

enum { STEPS = 5000000 };

static struct memory memory;

static void verify(void) { memory_check_all(&memory); }

static _Noreturn void compute(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  trial_begins(verify);
  for (;;) {
    watched_steps(STEPS);
    memory_write(&memory, random_below(memory.pages));
    atomic_fetch_add(&shared->work, 1);
    turn_ends();
  }
}

const struct trial compute_trials[] = {
    {.name = "compute", .what = "computes, without a system call for long", .run = compute},
    {0},
};
