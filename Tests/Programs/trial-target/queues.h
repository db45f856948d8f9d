// The two queues of an io_uring, without a library.
#ifndef TRIAL_TARGET_QUEUES_H
#define TRIAL_TARGET_QUEUES_H

#include <linux/io_uring.h>
#include <stdbool.h>

struct queues {
  int descriptor;
  _Atomic unsigned *tail, *completed_head, *completed_tail;
  unsigned mask, completed_mask;
  unsigned *entries;
  struct io_uring_sqe *submissions;
  struct io_uring_cqe *completions;
};

// Makes an io_uring with room for so many requests, or finds that there can be none here.
void queues_make(struct queues *queues, unsigned count);

// Puts a request into the queue; the kernel takes it at the next io_uring_enter.
void queues_put(struct queues *queues, const struct io_uring_sqe *request);

// Takes what has ended, if anything has.
bool queues_take(struct queues *queues, struct io_uring_cqe *ended);

#endif
