// A single thread that takes turns: it does what its trial is about, then writes to memory of its own.
#ifndef TRIAL_TARGET_TURNS_H
#define TRIAL_TARGET_TURNS_H

#include "trials.h"

// Makes the memory, and tells that the trial begins.
void begin_turns(const struct settings *settings);

// Ends a turn.
void next_turn(void);

#endif
