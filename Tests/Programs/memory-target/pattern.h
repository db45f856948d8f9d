// What a page (or another block of words) must hold: a pure function of where it belongs and how often it was rewritten.
#ifndef MEMORY_TARGET_PATTERN_H
#define MEMORY_TARGET_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum region {
    REGION_MAIN = 1,
    REGION_VMAS,
    REGION_SPARSE,
    REGION_UNREADABLE,
    REGION_FILE,
    REGION_HUGE,
    REGION_SHARED,
    REGION_READ_ONLY,
    REGION_HEAP,
    REGION_STACK,
    REGION_REMAP,
    REGION_COUNT
};

struct pattern {
    enum region region;
    uint64_t index;
    uint64_t generation;
    bool random; // pseudo-random words instead of a counting sequence
};

// `words` must be a multiple of 4 and at least 8.
void pattern_fill(uint64_t *block, size_t words, struct pattern pattern);

// True if the block holds exactly this pattern; else `why` says what it holds instead.
bool pattern_matches(const uint64_t *block, size_t words, struct pattern pattern, char *why, size_t why_size);

bool words_are_zero(const uint64_t *block, size_t words);

const char *region_name(enum region region);

// xorshift64: never returns 0 if `state` is not 0.
static inline uint64_t xorshift(uint64_t state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

#endif
