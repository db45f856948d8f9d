// Mappings that come, move, change and go at random all the while.
#ifndef MEMORY_TARGET_REMAP_H
#define MEMORY_TARGET_REMAP_H

#include "check.h"

// Starts the thread that does it.
void remap_start(void);

// Between these two the thread does nothing. Without remap_start they do nothing either.
void remap_hold(void);
void remap_release(void);

// While held: what every page holds. What was found wrong earlier is told as well.
void remap_check(struct check *check);

// How many operations there have been so far.
uint64_t remap_operations(void);

#endif
