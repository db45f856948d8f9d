// A request that waits in a worker of an io_uring, a thread of the kernel's: to be interrupted ends it early.
#define _GNU_SOURCE
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "queues.h"
#include "shared.h"
#include "trials.h"
#include "turns.h"

enum { TURNS_A_WAIT = 200, RESTART_SYS = 512 };

// What the worker waits for: a byte, which it hands on.
static struct {
  int from[2], to[2];
  struct queues queues;
} worker;

static void begin_wait(void) {
  const struct io_uring_sqe request = {
      .opcode = IORING_OP_SPLICE,
      .flags = IOSQE_ASYNC,
      .fd = worker.to[1],
      .splice_fd_in = worker.from[0],
      .off = (uint64_t)-1,
      .splice_off_in = (uint64_t)-1,
      .len = 1,
  };
  queues_put(&worker.queues, &request);
  while (syscall(SYS_io_uring_enter, worker.queues.descriptor, 1, 0, 0, NULL, 0) < 0)
    if (errno != EINTR) die("io_uring_enter");
}

// Whether it has ended.
static bool look(void) {
  struct io_uring_cqe ended;
  if (!queues_take(&worker.queues, &ended)) return false;
  if (ended.res == -EINTR || ended.res == -RESTART_SYS)
    atomic_fetch_add(&shared->interrupted, 1);
  else if (ended.res != 1)
    harmed("a request that waits in a worker ended with %d", ended.res);
  return true;
}

static void hand_on(void) {
  char byte = 1;
  if (write(worker.from[1], &byte, 1) != 1) die("writing to a pipe");
  while (!look()) usleep(100);
}

static void drain(int pipe) {
  int count;
  char byte;
  while (ioctl(pipe, FIONREAD, &count) == 0 && count > 0)
    if (read(pipe, &byte, 1) != 1) die("reading a pipe");
}

static _Noreturn void wait_in_worker(const struct settings *settings) {
  if (pipe2(worker.from, 0) != 0 || pipe2(worker.to, 0) != 0) die("pipe2");
  queues_make(&worker.queues, 1);
  begin_turns(settings);
  for (;;) {
    begin_wait();
    bool has_ended = false;
    for (int turn = 0; turn < TURNS_A_WAIT && !has_ended; turn++) {
      usleep(1000);
      next_turn();
      has_ended = look();
    }
    if (!has_ended) hand_on();
    // What was handed on, and what was not because the wait had ended early.
    drain(worker.to[0]);
    drain(worker.from[0]);
  }
}

const struct trial worker_trials[] = {
    {.name = "workers", .what = "a request that waits in a worker of an io_uring, and turns meanwhile", .run = wait_in_worker},
    {0},
};
