// How long something took, many thousand times: in a table of fixed size, to a thirty-second of each figure.
#ifndef WATCH_TARGET_DELAYS_H
#define WATCH_TARGET_DELAYS_H

#include <stdatomic.h>
#include <stdint.h>

enum { STEPS_AN_OCTAVE = 32, OCTAVES = 48 };

struct delays {
  _Atomic uint64_t counts[OCTAVES * STEPS_AN_OCTAVE];
  _Atomic uint64_t longest_ns;
};

void delays_clear(struct delays *delays);
void delays_add(struct delays *delays, uint64_t ns);
uint64_t delays_count(const struct delays *delays);

// What all but one in `one_in` stay below.
uint64_t delays_all_but(const struct delays *delays, uint64_t one_in);

#endif
