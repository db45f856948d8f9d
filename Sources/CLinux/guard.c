#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"
#include "sluice_guard.h"

enum { READY = 'y' };
enum { THAW_TRIES = 100, THAW_PAUSE_MICROSECONDS = 10000 };

// The guard. It is told for how many milliseconds what comes along is held: none, that it is as it should be.

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void thaw(int file) {
  // Nobody is left to be told that it fails.
  for (int tries = 0; tries < THAW_TRIES; tries++) {
    if (TEMP_FAILURE_RETRY(write(file, "0", 1)) == 1) break;
    usleep(THAW_PAUSE_MICROSECONDS);
  }
}

/// Waits for whoever is guarded to say something. 0 at the end of the time.
static int wait_until(int socket, int64_t deadline) {
  struct pollfd watched = {.fd = socket, .events = POLLIN};
  for (;;) {
    int64_t left = deadline - now_ms();
    if (left <= 0) return 0;
    if (TEMP_FAILURE_RETRY(poll(&watched, 1, left < INT_MAX ? (int)left : INT_MAX)) != 0) return 1;
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
      close(held);
      held = -1;
    }
    if (receive_message(socket, &milliseconds, sizeof milliseconds, &file) < 0) break;
    if (held >= 0) close(held);
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
