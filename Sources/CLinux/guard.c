#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "helper.h"
#include "raw.h"
#include "sluice_guard.h"

enum { READY = 'y' };
enum { THAW_TRIES = 100, THAW_PAUSE_NS = 10000000 };

// The guard. It is told for how many milliseconds what comes along is held: none, that it is as it should be. It runs in a
// helper: no function of the C library.

static int64_t now_ms(void) {
  struct timespec now;
  RAW(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void thaw(int file) {
  // Nobody is left to be told that it fails.
  for (int tries = 0; tries < THAW_TRIES; tries++) {
    if (RAW(SYS_write, file, "0", 1) == 1) break;
    struct timespec pause = {.tv_nsec = THAW_PAUSE_NS};
    RAW(SYS_nanosleep, &pause, NULL);
  }
}

// Waits for whoever is guarded to say something. 0 at the end of the time.
static int wait_until(int socket, int64_t deadline) {
  struct pollfd polled = {.fd = socket, .events = POLLIN};
  for (;;) {
    int64_t left = deadline - now_ms();
    if (left <= 0) return 0;
    struct timespec limit = {.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000 * 1000000)};
    // Interrupted: nothing has been said.
    long ready = RAW(SYS_ppoll, &polled, 1, &limit, NULL, 0);
    if (ready != 0 && ready != -EINTR) return 1;
  }
}

static void guard(int socket) {
  int held = -1;
  int64_t deadline = INT64_MAX;
  while (1) {
    int64_t milliseconds = 0;
    int file = -1;
    // One whose threads do not come back from the kernel does not end, even when it is killed: its socket stays open.
    if (held >= 0 && !wait_until(socket, deadline)) {
      thaw(held);
      RAW(SYS_close, held);
      held = -1;
    }
    if (receive_message(socket, &milliseconds, sizeof milliseconds, &file) < 0) break;
    if (held >= 0) RAW(SYS_close, held);
    held = milliseconds > 0 ? file : -1;
    deadline = now_ms() + milliseconds;
    char ready = READY;
    if (send_message(socket, &ready, 1, -1) < 0) break;
  }
  if (held >= 0) thaw(held);
}

int sluice_guard_start(void) { return start_helper("sluice-guard", guard); }

static int tell(int guard, int64_t milliseconds, int file) {
  int result = send_message(guard, &milliseconds, sizeof milliseconds, file);
  char answer = 0;
  int none = -1;
  if (result == 0) result = receive_message(guard, &answer, 1, &none);
  return result == 0 && answer != READY ? -EPIPE : result;
}

int sluice_guard_hold(int guard, int file, int64_t milliseconds) { return tell(guard, milliseconds, file); }

int sluice_guard_release(int guard) { return tell(guard, 0, -1); }
