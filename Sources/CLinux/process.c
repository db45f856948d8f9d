#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_process.h"

int sluice_pidfd_open(pid_t pid) {
  long descriptor = FAULTY(SLUICE_FAULT_PIDFD_OPEN, syscall(SYS_pidfd_open, pid, 0));
  return descriptor < 0 ? -errno : (int)descriptor;
}

int sluice_pidfd_is_alive(int pidfd) {
  struct pollfd watched = {.fd = pidfd, .events = POLLIN};
  int ready = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_PIDFD_POLL, poll(&watched, 1, 0)));
  if (ready < 0) return -errno;
  return ready == 0;
}

int sluice_pidfd_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int sluice_share_memory(pid_t one, pid_t other) {
  long order = syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0);
  return order < 0 ? -errno : order == 0;
}

int sluice_has_children_lists(void) { return access("/proc/thread-self/children", F_OK) == 0; }

int sluice_has_descriptor(pid_t pid, const char *name) {
  char path[32], text[64];
  size_t wanted = strlen(name);
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  int directory = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_OPEN, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (directory < 0) return -errno;
  DIR *descriptors = fdopendir(directory);
  if (descriptors == NULL) {
    int error = errno;
    close(directory);
    return -error;
  }
  int found = 0;
  while (found == 0) {
    errno = 0;
    const struct dirent *entry = readdir(descriptors);
    if (entry == NULL) {
      found = -errno;
      break;
    }
    ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, text, sizeof text);
    found = length == (ssize_t)wanted && memcmp(text, name, wanted) == 0;
  }
  closedir(descriptors);
  return found;
}
