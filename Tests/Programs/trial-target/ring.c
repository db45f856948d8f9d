// Reads into registered buffers of an io_uring: the kernel keeps these pages pinned, and writes without page tables.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "blocks.h"
#include "memory.h"
#include "queues.h"
#include "shared.h"
#include "trials.h"

static struct queues ring;

static struct landing *landings;
static struct arrival *arrivals;
static unsigned count;

static void set_up(int file) {
  queues_make(&ring, count);
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
  arrivals[at] = arrival_at_random(&landings[at]);
  const struct io_uring_sqe request = {
      .opcode = IORING_OP_READ_FIXED,
      .flags = IOSQE_FIXED_FILE,
      .fd = 0,
      .off = arrivals[at].first_block * page_size(),
      .addr = (uintptr_t)arrival_place(&landings[at], &arrivals[at]),
      .len = (unsigned)(arrivals[at].blocks * page_size()),
      .buf_index = (uint16_t)at,
      .user_data = at,
  };
  queues_put(&ring, &request);
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
    struct io_uring_cqe completion;
    for (prepared = 0; queues_take(&ring, &completion); prepared++) {
      unsigned at = (unsigned)completion.user_data;
      arrival_check(&landings[at], &arrivals[at], completion.res);
      prepare_read(at);
    }
    turn_ends();
  }
}

const struct trial ring_trials[] = {
    {.name = "ring", .what = "--count reads of --file at once into registered buffers of an io_uring", .run = read_into_registered},
    {0},
};
