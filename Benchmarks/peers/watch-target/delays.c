#include "delays.h"

static unsigned index_of(uint64_t ns) {
  if (ns < STEPS_AN_OCTAVE) return (unsigned)ns;
  unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - 5;
  unsigned index = (shift + 1) * STEPS_AN_OCTAVE + (unsigned)(ns >> shift) - STEPS_AN_OCTAVE;
  return index < OCTAVES * STEPS_AN_OCTAVE ? index : OCTAVES * STEPS_AN_OCTAVE - 1;
}

// The first figure that is no longer in there.
static uint64_t end_of(unsigned index) {
  if (index < STEPS_AN_OCTAVE) return index + 1;
  unsigned shift = index / STEPS_AN_OCTAVE - 1;
  return (uint64_t)(index % STEPS_AN_OCTAVE + STEPS_AN_OCTAVE + 1) << shift;
}

void delays_clear(struct delays *delays) {
  for (unsigned index = 0; index < OCTAVES * STEPS_AN_OCTAVE; index++) atomic_store(&delays->counts[index], 0);
  atomic_store(&delays->longest_ns, 0);
}

void delays_add(struct delays *delays, uint64_t ns) {
  atomic_fetch_add(&delays->counts[index_of(ns)], 1);
  uint64_t longest = atomic_load(&delays->longest_ns);
  while (ns > longest && !atomic_compare_exchange_weak(&delays->longest_ns, &longest, ns)) {
  }
}

uint64_t delays_count(const struct delays *delays) {
  uint64_t count = 0;
  for (unsigned index = 0; index < OCTAVES * STEPS_AN_OCTAVE; index++) count += atomic_load(&delays->counts[index]);
  return count;
}

uint64_t delays_all_but(const struct delays *delays, uint64_t one_in) {
  uint64_t above = 0, allowed = delays_count(delays) / one_in;
  for (unsigned index = OCTAVES * STEPS_AN_OCTAVE; index-- > 0;) {
    above += atomic_load(&delays->counts[index]);
    if (above > allowed) return end_of(index);
  }
  return 0;
}
