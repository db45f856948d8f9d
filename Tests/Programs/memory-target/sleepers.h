// Threads that do nothing: each costs whoever stops the process.
#ifndef MEMORY_TARGET_SLEEPERS_H
#define MEMORY_TARGET_SLEEPERS_H

#include <stdint.h>

void sleepers_start(uint64_t count);

#endif
