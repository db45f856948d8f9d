// A thread that notices when the process was kept from running.
#ifndef MEMORY_TARGET_STALL_H
#define MEMORY_TARGET_STALL_H

#include "area.h"

// The thread rewrites page `own_page` of the area now and then; nobody else may. Without pages in the area it writes none.
void stall_start(struct area *area, uint64_t own_page);

// Between these two the thread rewrites nothing and records nothing (a self-check takes the processor from it, which is no stall).
void stall_hold(void);
void stall_release(void);

uint64_t stall_longest_microseconds(void);
void stall_reset(void);

// Rewrites of its page so far; exact while held.
uint64_t stall_writes(void);

#endif
