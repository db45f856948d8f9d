// Mappings that come, move, change and go at random all the while.
#ifndef MEMORY_TARGET_CHURN_H
#define MEMORY_TARGET_CHURN_H

#include "check.h"

// Starts the thread that does it.
void churn_start(void);

// Between these two the thread does nothing. Without churn_start they do nothing either.
void churn_hold(void);
void churn_release(void);

// While held: what every page holds. What was found wrong earlier is told as well.
void churn_check(struct check *check);

// How many operations there have been so far.
uint64_t churn_operations(void);

#endif
