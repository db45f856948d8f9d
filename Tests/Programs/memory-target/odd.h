// Memory of every odd kind a dumper meets. Its content never changes; checking it does not change what it is.
#ifndef MEMORY_TARGET_ODD_H
#define MEMORY_TARGET_ODD_H

#include "check.h"

enum { ODD_STACK_WORDS = 256 * 1024 / sizeof(uint64_t) };

void odd_map(const char *file_path);
void odd_check(struct check *check);

// A block that lies deep in the caller's stack for as long as the process runs.
void odd_stack_fill(uint64_t block[ODD_STACK_WORDS]);
void odd_stack_check(const uint64_t block[ODD_STACK_WORDS], struct check *check);

#endif
