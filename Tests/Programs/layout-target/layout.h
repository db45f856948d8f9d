#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { PAGE = 4096, FIRST_STEP = 1 };

// A part of the address space with a kind of memory in it, at the same place in every run.
struct range {
  const char *name;
  size_t pages; // of the addresses; not all need to have memory
  // Makes the memory. Returns why this kernel has no such memory, or NULL.
  const char *(*make)(unsigned char *start);
  // Writes the pages of a step, of which each is different from its state at the step before. NULL: nothing is written.
  void (*write)(unsigned char *start, unsigned step);
};

enum { RANGE_DISTANCE = 1 << 30 };

// The ranges of one kind of process, ended by one without a name. They begin at an address that no library gets.
struct layout {
  const char *name;
  const struct range *ranges;
};

extern const struct layout LAYOUTS[];

// What a process writes is its own: the pages of two processes differ.
void set_writer(unsigned number);

// The directory of files that are mapped.
void set_directory(const char *path);

unsigned char *range_start(size_t index);

_Noreturn void fail(const char *doing);
