// Reads into registered buffers of an io_uring: the kernel keeps these pages pinned, and writes without page tables.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "blocks.h"
#include "memory.h"
#include "shared.h"
#include "trials.h"

static struct {
  int descriptor;
  _Atomic unsigned *tail, *completed_head, *completed_tail;
  unsigned mask, completed_mask;
  unsigned *entries;
  struct io_uring_sqe *submissions;
  struct io_uring_cqe *completions;
} ring;

static struct landing *landings;
static struct arrival *arrivals;
static unsigned count;

static void set_up(int file) {
  struct io_uring_params parameters = {0};
  ring.descriptor = (int)syscall(SYS_io_uring_setup, count, &parameters);
  if (ring.descriptor < 0) not_possible("io_uring_setup");
  size_t size = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
  size_t completed_size = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
  char *submitted = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.descriptor, IORING_OFF_SQ_RING);
  char *completed =
      mmap(NULL, completed_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.descriptor, IORING_OFF_CQ_RING);
  ring.submissions = mmap(NULL, parameters.sq_entries * sizeof *ring.submissions, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_POPULATE, ring.descriptor, IORING_OFF_SQES);
  if (submitted == MAP_FAILED || completed == MAP_FAILED || ring.submissions == MAP_FAILED) die("mapping an io_uring");
  ring.tail = (void *)(submitted + parameters.sq_off.tail);
  ring.mask = *(unsigned *)(submitted + parameters.sq_off.ring_mask);
  ring.entries = (void *)(submitted + parameters.sq_off.array);
  ring.completed_head = (void *)(completed + parameters.cq_off.head);
  ring.completed_tail = (void *)(completed + parameters.cq_off.tail);
  ring.completed_mask = *(unsigned *)(completed + parameters.cq_off.ring_mask);
  ring.completions = (void *)(completed + parameters.cq_off.cqes);

  struct iovec *buffers = calloc(count, sizeof *buffers);
  if (buffers == NULL) die("calloc");
  for (unsigned at = 0; at < count; at++)
    buffers[at] = (struct iovec){landings[at].start, landings[at].pages * page_size()};
  if (syscall(SYS_io_uring_register, ring.descriptor, IORING_REGISTER_BUFFERS, buffers, count) != 0)
    not_possible("registering buffers");
  if (syscall(SYS_io_uring_register, ring.descriptor, IORING_REGISTER_FILES, &file, 1) != 0) not_possible("registering a file");
  free(buffers);
}

static void prepare_read(unsigned at) {
  unsigned tail = atomic_load(ring.tail), entry = tail & ring.mask;
  arrivals[at] = arrival_at_random(&landings[at]);
  ring.submissions[entry] = (struct io_uring_sqe){
      .opcode = IORING_OP_READ_FIXED,
      .flags = IOSQE_FIXED_FILE,
      .fd = 0,
      .off = arrivals[at].first_block * page_size(),
      .addr = (uintptr_t)arrival_place(&landings[at], &arrivals[at]),
      .len = (unsigned)(arrivals[at].blocks * page_size()),
      .buf_index = (uint16_t)at,
      .user_data = at,
  };
  ring.entries[entry] = entry;
  atomic_store(ring.tail, tail + 1);
}

static void submit_and_wait(unsigned submitted) {
  while (syscall(SYS_io_uring_enter, ring.descriptor, submitted, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) {
    if (errno != EINTR) die("io_uring_enter");
    // It ends early whenever its thread is stopped, and nothing was submitted then.
    atomic_fetch_add(&shared->interrupted, 1);
  }
}

static void verify(void) {
  for (unsigned at = 0; at < count; at++) landing_check(&landings[at], &arrivals[at]);
}

static _Noreturn void read_into_registered(const struct settings *settings) {
  int file = blocks_open(settings);
  count = settings->count;
  landings = landings_make(settings);
  arrivals = calloc(count, sizeof *arrivals);
  if (arrivals == NULL) die("calloc");
  set_up(file);
  trial_begins(verify);
  for (unsigned at = 0; at < count; at++) prepare_read(at);
  for (unsigned prepared = count;;) {
    submit_and_wait(prepared);
    unsigned head = atomic_load(ring.completed_head);
    for (prepared = 0; head != atomic_load(ring.completed_tail); head++, prepared++) {
      const struct io_uring_cqe *completion = &ring.completions[head & ring.completed_mask];
      unsigned at = (unsigned)completion->user_data;
      arrival_check(&landings[at], &arrivals[at], completion->res);
      prepare_read(at);
    }
    atomic_store(ring.completed_head, head);
    turn_ends();
  }
}

const struct trial ring_trials[] = {
    {.name = "ring", .what = "--count reads of --file at once into registered buffers of an io_uring", .run = read_into_registered},
    {0},
};
