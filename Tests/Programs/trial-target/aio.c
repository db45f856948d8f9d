// Reads of libaio's kind, which pin their pages while they are in flight.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blocks.h"
#include "memory.h"
#include "shared.h"
#include "trials.h"

enum { MOST_EVENTS = 64 };

static struct landing *landings;
static struct arrival *arrivals;
static unsigned count;
static int file;

static void submit(aio_context_t context, unsigned at) {
  arrivals[at] = arrival_at_random(&landings[at]);
  struct iocb request = {
      .aio_data = at,
      .aio_lio_opcode = IOCB_CMD_PREAD,
      .aio_fildes = (unsigned)file,
      .aio_buf = (uintptr_t)arrival_place(&landings[at], &arrivals[at]),
      .aio_nbytes = arrivals[at].blocks * page_size(),
      .aio_offset = (long long)(arrivals[at].first_block * page_size()),
  };
  struct iocb *requests[] = {&request};
  if (syscall(SYS_io_submit, context, 1, requests) != 1) die("io_submit");
}

static long wait_for_some(aio_context_t context, struct io_event *events) {
  for (;;) {
    long got = syscall(SYS_io_getevents, context, 1, MOST_EVENTS, events, NULL);
    if (got >= 0) return got;
    if (errno != EINTR) die("io_getevents");
    atomic_fetch_add(&shared->interrupted, 1);
  }
}

static void verify(void) {
  for (unsigned at = 0; at < count; at++) landing_check(&landings[at], &arrivals[at]);
}

static _Noreturn void read_asynchronously(const struct settings *settings) {
  aio_context_t context = 0;
  struct io_event events[MOST_EVENTS];
  file = blocks_open(settings);
  count = settings->count < MOST_EVENTS ? settings->count : MOST_EVENTS;
  landings = landings_make(settings);
  arrivals = calloc(count, sizeof *arrivals);
  if (arrivals == NULL) die("calloc");
  if (syscall(SYS_io_setup, MOST_EVENTS, &context) != 0) not_possible("io_setup");
  trial_begins(verify);
  for (unsigned at = 0; at < count; at++) submit(context, at);
  for (;;) {
    long got = wait_for_some(context, events);
    for (long event = 0; event < got; event++) {
      unsigned at = (unsigned)events[event].data;
      arrival_check(&landings[at], &arrivals[at], (long)events[event].res);
      submit(context, at);
    }
    turn_ends();
  }
}

const struct trial aio_trials[] = {
    {.name = "aio", .what = "--count reads of --file at once with io_submit and O_DIRECT", .run = read_asynchronously},
    {0},
};
