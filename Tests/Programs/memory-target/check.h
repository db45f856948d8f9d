// What a self-check has found so far.
#ifndef MEMORY_TARGET_CHECK_H
#define MEMORY_TARGET_CHECK_H

#include "pattern.h"

struct check {
    uint64_t pages; // looked at
    uint64_t bad;
    char first[384]; // what is wrong with the first bad one
};

void check_block(struct check *check, const void *block, size_t size, struct pattern pattern);
void check_zero(struct check *check, const void *block, size_t size, const char *region, uint64_t index);
void check_failed(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
