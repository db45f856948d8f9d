// Four threads that each do one thing over and over, and note how long it took.
#ifndef WATCH_TARGET_WATCHERS_H
#define WATCH_TARGET_WATCHERS_H

#include <stddef.h>

// The pages that one of them writes; the others have memory of their own.
void watchers_start(char *area, size_t bytes);

// From now on.
void watchers_begin(void);

// "NAME_count=N NAME_p999_us=F NAME_longest_us=F" for each.
void watchers_print(void);

#endif
