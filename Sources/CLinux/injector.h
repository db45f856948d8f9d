// What we and the process that injects say to each other.
#ifndef INJECTOR_H
#define INJECTOR_H

#include <stdint.h>

#include "sluice_inject.h"

#pragma GCC visibility push(hidden)

enum { AT_STEP = 1, DONE = 2 };

struct reply {
  uint32_t kind;
  struct sluice_injected injected;
};

/// What that process runs.
void injector(int socket);

#pragma GCC visibility pop

#endif
