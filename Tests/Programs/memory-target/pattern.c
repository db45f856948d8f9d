#define _GNU_SOURCE
#include "pattern.h"

#include <inttypes.h>
#include <stdio.h>

enum { WORD_MAGIC, WORD_INDEX, WORD_GENERATION, WORD_SEED, HEADER_WORDS, LANES = 4 };

static const uint64_t MAGIC = UINT64_C(0x534c554943450000); // "SLUICE", low 16 bits: the region
static const uint64_t STEP = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static uint64_t seed_of(struct pattern pattern) {
    // Never 0, because xorshift would stay there.
    return mix(mix(pattern.index * STEP + pattern.region) + pattern.generation) | 1;
}

static void expected_header(uint64_t header[HEADER_WORDS], struct pattern pattern) {
    header[WORD_MAGIC] = MAGIC | pattern.region;
    header[WORD_INDEX] = pattern.index;
    header[WORD_GENERATION] = pattern.generation;
    header[WORD_SEED] = seed_of(pattern);
}

// Four independent sequences, so that the processor need not wait for one word to make the next.
static void start_lanes(uint64_t lanes[LANES], uint64_t seed) {
    for (unsigned lane = 0; lane < LANES; lane++)
        lanes[lane] = mix(seed + lane * STEP) | 1;
}

static void fill_random(uint64_t *block, size_t words, uint64_t seed) {
    uint64_t lanes[LANES];
    start_lanes(lanes, seed);
    for (size_t at = HEADER_WORDS; at < words; at += LANES)
        for (unsigned lane = 0; lane < LANES; lane++)
            block[at + lane] = lanes[lane] = xorshift(lanes[lane]);
}

static uint64_t difference_random(const uint64_t *block, size_t words, uint64_t seed) {
    uint64_t lanes[LANES], difference = 0;
    start_lanes(lanes, seed);
    for (size_t at = HEADER_WORDS; at < words; at += LANES)
        for (unsigned lane = 0; lane < LANES; lane++)
            difference |= block[at + lane] ^ (lanes[lane] = xorshift(lanes[lane]));
    return difference;
}

static void fill_counting(uint64_t *block, size_t words, uint64_t seed) {
    for (size_t at = HEADER_WORDS; at < words; at++)
        block[at] = seed + at;
}

static uint64_t difference_counting(const uint64_t *block, size_t words, uint64_t seed) {
    uint64_t difference = 0;
    for (size_t at = HEADER_WORDS; at < words; at++)
        difference |= block[at] ^ (seed + at);
    return difference;
}

void pattern_fill(uint64_t *block, size_t words, struct pattern pattern) {
    expected_header(block, pattern);
    if (pattern.random)
        fill_random(block, words, block[WORD_SEED]);
    else
        fill_counting(block, words, block[WORD_SEED]);
}

bool words_are_zero(const uint64_t *block, size_t words) {
    uint64_t any = 0;
    for (size_t at = 0; at < words; at++)
        any |= block[at];
    return any == 0;
}

static void explain_header(const uint64_t *block, size_t words, struct pattern pattern, char *why, size_t why_size) {
    if (words_are_zero(block, words))
        snprintf(why, why_size, "is all zero (lost), expected generation %" PRIu64, pattern.generation);
    else if ((block[WORD_MAGIC] & ~UINT64_C(0xffff)) != MAGIC)
        snprintf(why, why_size, "does not start with the magic (first word 0x%016" PRIx64 ")", block[WORD_MAGIC]);
    else if (block[WORD_MAGIC] != (MAGIC | pattern.region) || block[WORD_INDEX] != pattern.index)
        snprintf(why, why_size, "holds page %" PRIu64 " of %s (misplaced)", block[WORD_INDEX],
                 region_name((enum region)(block[WORD_MAGIC] & 0xffff)));
    else if (block[WORD_GENERATION] != pattern.generation)
        snprintf(why, why_size, "holds generation %" PRIu64 ", expected %" PRIu64 " (%s content)", block[WORD_GENERATION],
                 pattern.generation, block[WORD_GENERATION] < pattern.generation ? "older" : "newer");
    else
        snprintf(why, why_size, "has a damaged header (generation %" PRIu64 ")", pattern.generation);
}

static void explain_body(const uint64_t *block, size_t words, struct pattern pattern, char *why, size_t why_size) {
    uint64_t lanes[LANES], seed = seed_of(pattern);
    start_lanes(lanes, seed);
    for (size_t at = HEADER_WORDS; at < words; at++) {
        unsigned lane = at % LANES;
        uint64_t expected = pattern.random ? (lanes[lane] = xorshift(lanes[lane])) : seed + at;
        if (block[at] == expected)
            continue;
        snprintf(why, why_size, "is torn or damaged at byte %zu: 0x%016" PRIx64 ", expected 0x%016" PRIx64 " (generation %" PRIu64 ")",
                 at * sizeof *block, block[at], expected, pattern.generation);
        return;
    }
    snprintf(why, why_size, "differed when it was first looked at and not when it was looked at again");
}

static bool header_matches(const uint64_t *block, const uint64_t expected[HEADER_WORDS]) {
    uint64_t difference = 0;
    for (unsigned at = 0; at < HEADER_WORDS; at++)
        difference |= block[at] ^ expected[at];
    return difference == 0;
}

bool pattern_matches(const uint64_t *block, size_t words, struct pattern pattern, char *why, size_t why_size) {
    uint64_t header[HEADER_WORDS];
    expected_header(header, pattern);
    if (!header_matches(block, header)) {
        explain_header(block, words, pattern, why, why_size);
        return false;
    }
    uint64_t difference = pattern.random ? difference_random(block, words, header[WORD_SEED])
                                         : difference_counting(block, words, header[WORD_SEED]);
    if (difference == 0)
        return true;
    explain_body(block, words, pattern, why, why_size);
    return false;
}

const char *region_name(enum region region) {
    static const char *const names[REGION_COUNT] = {
        [REGION_MAIN] = "main",     [REGION_VMAS] = "vmas", [REGION_SPARSE] = "sparse", [REGION_UNREADABLE] = "unreadable",
        [REGION_FILE] = "file",     [REGION_HUGE] = "huge", [REGION_SHARED] = "shared", [REGION_READ_ONLY] = "read-only",
        [REGION_HEAP] = "heap",     [REGION_STACK] = "stack", [REGION_REMAP] = "remap",
    };
    return region > 0 && region < REGION_COUNT ? names[region] : "no known region";
}
