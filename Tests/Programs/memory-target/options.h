#ifndef MEMORY_TARGET_OPTIONS_H
#define MEMORY_TARGET_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "area.h"

struct options {
    uint64_t size, vmas, sparse_size, sparse_pages, sleepers, seconds;
    double pages_per_second;
    unsigned writers, churners;
    enum backing backing;
    enum layout layout;
    enum huge_pages huge_pages;
    bool random, odd, remap;
    const char *status_path;
    char odd_path[PATH_MAX];
};

// Exits with 0 after --help and with 2 after a mistake.
struct options options_parse(int count, char **arguments);

#endif
