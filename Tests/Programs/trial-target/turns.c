#include "turns.h"

#include <stdatomic.h>

#include "memory.h"
#include "shared.h"

enum { WRITES_A_TURN = 8 };

static struct memory memory;

static void verify(void) { memory_check_all(&memory); }

void begin_turns(const struct settings *settings) {
  memory = memory_make(settings->size, settings->huge);
  trial_begins(verify);
}

void next_turn(void) {
  for (int at = 0; at < WRITES_A_TURN; at++) memory_write(&memory, random_below(memory.pages));
  atomic_fetch_add(&shared->work, 1);
  turn_ends();
}
