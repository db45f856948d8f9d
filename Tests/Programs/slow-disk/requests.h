// What the kernel asks of the disk: linux/fuse.h, fuse(4).
#ifndef REQUESTS_H
#define REQUESTS_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_DATA = 1 << 20, REQUEST_BYTES = MOST_DATA + 8192 };

/// An answer: 0 or -errno, and what belongs to it. `silent` is for requests that take none.
struct answer {
  int error;
  bool silent;
  size_t length;
  char data[MOST_DATA];
};

/// Does what is asked, and makes the answer.
void requests_do(const struct fuse_in_header *request, struct answer *answer);

/// How many bytes a request takes to the disk or from it.
uint64_t requests_byte_count(const struct fuse_in_header *request);

#endif
