// What a helper keeps of its maker's memory.
#ifndef KEPT_H
#define KEPT_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

struct range {
  uintptr_t start, end;
};

enum { KEPT_MOST = 48, CLEARED_MOST = 4 };

/// What is kept, by address, and what of that is made zeros, because it may be as large as the maker likes.
struct kept {
  unsigned count, cleared_count;
  struct range ranges[KEPT_MOST];
  struct range cleared[CLEARED_MOST];
};

/// Finds what the calling thread's helper keeps, beside its stack: what our code and data were loaded from, those of the
/// C library and of the loader, and the thread's own block, to which the kernel writes by itself (rseq(2)). Nothing is
/// found where a helper must keep everything.
void find_kept(struct kept *kept, struct range stack);

/// Lets go of all memory but what is kept. System calls only.
void let_go_of_others(const struct kept *kept);

#pragma GCC visibility pop

#endif
