#define _GNU_SOURCE
#include "sluice_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"

void sluice_wait_for_cgroup_events(int file, int milliseconds) {
  struct pollfd polled = {.fd = file, .events = POLLPRI};
  (void)poll(&polled, 1, milliseconds);
}

int sluice_cgroup_monitor_start(void) {
  int monitor = FAULTY(SLUICE_FAULT_OPEN, inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  return monitor < 0 ? -errno : monitor;
}

int sluice_cgroup_monitor_add(int monitor, int directory) {
  // The call takes paths only; this one leads to the very directory that is open.
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
  return inotify_add_watch(monitor, path, IN_MODIFY | IN_ONLYDIR) < 0 ? -errno : 0;
}

// cgroup.events, which the kernel itself has changed, is none of them.
static bool decides_what_runs(const struct inotify_event *event) {
  if (event->mask & IN_Q_OVERFLOW) return true;
  static const char *const names[] = {"cgroup.freeze", "cgroup.procs", "cgroup.threads"};
  for (size_t at = 0; at < sizeof names / sizeof *names; at++)
    if (event->len > 0 && strcmp(event->name, names[at]) == 0) return true;
  return false;
}

int sluice_cgroup_monitor_saw(int monitor) {
  _Alignas(struct inotify_event) char block[4096];
  bool saw = false;
  for (;;) {
    ssize_t length = TEMP_FAILURE_RETRY(read(monitor, block, sizeof block));
    if (length < 0) return errno == EAGAIN ? saw : -errno;
    for (ssize_t at = 0; at < length;) {
      const struct inotify_event *event = (const struct inotify_event *)(block + at);
      at += (ssize_t)(sizeof *event + event->len);
      saw = saw || decides_what_runs(event);
    }
  }
}

int sluice_process_time(pid_t pid, uint64_t *nanoseconds) {
  clockid_t clock;
  int error = clock_getcpuclockid(pid, &clock);
  if (error != 0) return -error;
  struct timespec time;
  // It may have ended since.
  if (clock_gettime(clock, &time) < 0) return errno == EINVAL ? -ESRCH : -errno;
  *nanoseconds = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
  return 0;
}
