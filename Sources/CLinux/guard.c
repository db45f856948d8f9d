#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include "helper.h"
#include "raw.h"
#include "sluice_guard.h"

enum { HOLD = 'h', RELEASE = 'r', READY = 'y' };
enum { THAW_TRIES = 100, THAW_PAUSE_NS = 10000000 };

// The guard. It runs in a helper: no function of the C library.
static void guard(int socket) {
  int held = -1;
  while (1) {
    char command = 0;
    int file = -1;
    if (receive_message(socket, &command, 1, &file) < 0) break;
    if (held >= 0) RAW(SYS_close, held);
    held = command == HOLD ? file : -1;
    char ready = READY;
    if (send_message(socket, &ready, 1, -1) < 0) break;
  }
  // Nobody is left to be told that it fails.
  for (int tries = 0; held >= 0 && tries < THAW_TRIES; tries++) {
    if (RAW(SYS_write, held, "0", 1) == 1) break;
    struct timespec pause = {.tv_nsec = THAW_PAUSE_NS};
    RAW(SYS_nanosleep, &pause, NULL);
  }
}

int sluice_guard_start(void) { return start_helper("sluice-guard", guard); }

static int tell(int guard, char command, int file) {
  int result = send_message(guard, &command, 1, file);
  char answer = 0;
  int none = -1;
  if (result == 0) result = receive_message(guard, &answer, 1, &none);
  return result == 0 && answer != READY ? -EPIPE : result;
}

int sluice_guard_hold(int guard, int file) { return tell(guard, HOLD, file); }

int sluice_guard_release(int guard) { return tell(guard, RELEASE, -1); }
