// Threads that rewrite pages of the main area, and the gate at which the checker stops them.
#ifndef MEMORY_TARGET_WRITERS_H
#define MEMORY_TARGET_WRITERS_H

#include <stdbool.h>
#include <stdint.h>

#include "area.h"

enum { MAX_WRITERS = 64 };
static const double UNLIMITED_RATE = -1;

// Writer w of n owns the pages whose index modulo n is w, so writers need no locks among themselves.
// Pages from `page_limit` on are left alone.
void writers_start(struct area *area, uint64_t page_limit, unsigned count, double pages_per_second);

// Returns when every writer stands still between two pages.
void writers_pause(void);
void writers_resume(void);

// Rewrites so far; exact while paused.
uint64_t writers_total(void);

#endif
