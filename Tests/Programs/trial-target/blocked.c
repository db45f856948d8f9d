// A single thread that waits in a system call for its keeper, and looks at what the call made of its registers.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "registers.h"
#include "shared.h"
#include "trials.h"
#include "turns.h"

enum { LONG_SECONDS = 1000 };

// What the subject reads from, and what its keeper writes to.
static int ends[2];

// From now on the keeper may wake this wait, even before it has begun.
static uint32_t announce_wait(void) { return atomic_fetch_add(&shared->waits, 1) + 1; }

static void make_pipe(const struct settings *unused) {
  (void)unused;
  if (pipe(ends) != 0) die("pipe");
}

static void make_sockets(const struct settings *unused) {
  int both[2];
  (void)unused;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, both) != 0) die("socketpair");
  memcpy(ends, both, sizeof ends);
}

static void write_number(pid_t unused, uint32_t number) {
  (void)unused;
  // The subject may have ended.
  if (write(ends[1], &number, sizeof number) != sizeof number && errno != EPIPE) die("waking");
}

static void expect_number(const char *call, long got, uint32_t read, uint32_t expected) {
  if (got != sizeof read) {
    harmed("%s answered %ld", call, got);
  } else if (read != expected) {
    harmed("%s got the number %u, not %u", call, read, expected);
  }
}

static _Noreturn void wait_in_read(const struct settings *settings) {
  begin_turns(settings);
  for (;;) {
    uint32_t expected = announce_wait(), number = 0;
    long got = watched_call((struct call){SYS_read, {ends[0], (long)&number, sizeof number}}, 1);
    expect_number("read", got, number, expected);
    next_turn();
  }
}

static _Noreturn void wait_in_recv(const struct settings *settings) {
  begin_turns(settings);
  for (;;) {
    uint32_t expected = announce_wait(), number = 0;
    long got = watched_call((struct call){SYS_recvfrom, {ends[0], (long)&number, sizeof number}}, 1);
    expect_number("recvfrom", got, number, expected);
    next_turn();
  }
}

static void take_number(uint32_t expected) {
  uint32_t number = 0;
  ssize_t got = read(ends[0], &number, sizeof number);
  expect_number("read", got, number, expected);
}

static _Noreturn void wait_in_epoll(const struct settings *settings) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x5a5a5a5a};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) != 0) die("epoll");
  begin_turns(settings);
  for (;;) {
    uint32_t expected = announce_wait();
    struct epoll_event got = {0};
    long count = watched_call((struct call){SYS_epoll_pwait, {epoll, (long)&got, 1, -1, 0, 8}}, 1);
    if (count != 1 || got.data.u64 != event.data.u64) harmed("epoll_pwait answered %ld", count);
    take_number(expected);
    next_turn();
  }
}

static _Noreturn void wait_in_ppoll(const struct settings *settings) {
  begin_turns(settings);
  for (;;) {
    uint32_t expected = announce_wait();
    struct pollfd end = {.fd = ends[0], .events = POLLIN};
    struct timespec left = {.tv_sec = LONG_SECONDS};
    bool has_timeout = expected % 2 == 0;
    int64_t began = now_us();
    long count = watched_call((struct call){SYS_ppoll, {(long)&end, 1, has_timeout ? (long)&left : 0, 0, 8}}, 1);
    int64_t waited = now_us() - began;
    if (count != 1 || end.revents != POLLIN) harmed("ppoll answered %ld", count);
    int64_t told = (int64_t)LONG_SECONDS * 1000000 - (int64_t)left.tv_sec * 1000000 - left.tv_nsec / 1000;
    // What it says has passed is never more than what did.
    if (has_timeout && told > waited + 1) harmed("ppoll says that it waited %lld us of %lld", (long long)told, (long long)waited);
    if (has_timeout && waited > told && (uint64_t)(waited - told) > atomic_load(&shared->latest_us))
      atomic_store(&shared->latest_us, (uint64_t)(waited - told));
    take_number(expected);
    next_turn();
  }
}

static void wake_futex(pid_t unused, uint32_t number) {
  (void)unused;
  atomic_store(&shared->futex, number);
  syscall(SYS_futex, &shared->futex, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static _Noreturn void wait_in_futex(const struct settings *settings) {
  begin_turns(settings);
  for (;;) {
    uint32_t before = atomic_load(&shared->futex), expected = announce_wait();
    struct timespec timeout = {.tv_sec = LONG_SECONDS};
    while (atomic_load(&shared->futex) == before) {
      long result = watched_call(
          (struct call){SYS_futex, {(long)&shared->futex, FUTEX_WAIT, (long)before, expected % 2 == 0 ? (long)&timeout : 0}}, 1);
      // It was woken, or came too late to sleep.
      if (result != 0 && result != -EAGAIN) harmed("futex answered %ld", result);
      if (result == 0 && atomic_load(&shared->futex) == before) harmed("futex ended and nobody had woken it");
    }
    if (atomic_load(&shared->futex) != expected) harmed("the futex is not what it was set to");
    next_turn();
  }
}

const struct trial blocked_trials[] = {
    {"read", "waits in read", wait_in_read, make_pipe, write_number},
    {"recv", "waits in recv", wait_in_recv, make_sockets, write_number},
    {"epoll", "waits in epoll_wait, which ends early when its thread is stopped", wait_in_epoll, make_pipe, write_number},
    {"ppoll", "waits in ppoll, every other time with a timeout", wait_in_ppoll, make_pipe, write_number},
    {"futex", "waits for a futex, every other time with a timeout", wait_in_futex, NULL, wake_futex},
    {0},
};
