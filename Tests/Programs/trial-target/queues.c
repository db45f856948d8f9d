#define _GNU_SOURCE
#include "queues.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared.h"

static char *map(int descriptor, size_t size, off_t place) {
  char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, place);
  if (start == MAP_FAILED) die("mapping an io_uring");
  return start;
}

void queues_make(struct queues *queues, unsigned count) {
  struct io_uring_params made = {0};
  int descriptor = (int)syscall(SYS_io_uring_setup, count, &made);
  if (descriptor < 0) not_possible("io_uring_setup");
  char *submitted = map(descriptor, made.sq_off.array + made.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
  char *completed =
      map(descriptor, made.cq_off.cqes + made.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
  *queues = (struct queues){
      .descriptor = descriptor,
      .tail = (void *)(submitted + made.sq_off.tail),
      .completed_head = (void *)(completed + made.cq_off.head),
      .completed_tail = (void *)(completed + made.cq_off.tail),
      .mask = *(unsigned *)(submitted + made.sq_off.ring_mask),
      .completed_mask = *(unsigned *)(completed + made.cq_off.ring_mask),
      .entries = (void *)(submitted + made.sq_off.array),
      .submissions = (void *)map(descriptor, made.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES),
      .completions = (void *)(completed + made.cq_off.cqes),
  };
}

void queues_put(struct queues *queues, const struct io_uring_sqe *request) {
  unsigned tail = atomic_load(queues->tail), entry = tail & queues->mask;
  queues->submissions[entry] = *request;
  queues->entries[entry] = entry;
  atomic_store(queues->tail, tail + 1);
}

bool queues_take(struct queues *queues, struct io_uring_cqe *ended) {
  unsigned head = atomic_load(queues->completed_head);
  if (head == atomic_load(queues->completed_tail)) return false;
  *ended = queues->completions[head & queues->completed_mask];
  atomic_store(queues->completed_head, head + 1);
  return true;
}
