#define _GNU_SOURCE
#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void check_failed(struct check *check, const char *format, ...) {
    if (check->bad++ > 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->first, sizeof check->first, format, arguments);
    va_end(arguments);
}

void check_block(struct check *check, const void *block, size_t size, struct pattern pattern) {
    char why[256];
    check->pages++;
    if (!pattern_matches(block, size / sizeof(uint64_t), pattern, why, sizeof why))
        check_failed(check, "%s page %" PRIu64 " at %p %s", region_name(pattern.region), pattern.index, block, why);
}

void check_zero(struct check *check, const void *block, size_t size, const char *region, uint64_t index) {
    check->pages++;
    if (!words_are_zero(block, size / sizeof(uint64_t)))
        check_failed(check, "%s page %" PRIu64 " at %p is not zero", region, index, block);
}
