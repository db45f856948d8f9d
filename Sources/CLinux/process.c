#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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

int sluice_find_descriptors(pid_t pid, const char *link, int *found, size_t capacity) {
  char path[32], text[64];
  size_t wanted = strlen(link), count = 0;
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  int directory = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_OPEN, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (directory < 0) return -errno;
  int result = 0;
  _Alignas(struct dirent64) char block[4096];
  while (result == 0) {
    ssize_t length = FAULTY(SLUICE_FAULT_LIST_DIRECTORY, getdents64(directory, block, sizeof block));
    if (length < 0) result = -errno;
    if (length <= 0) break;
    for (ssize_t at = 0; at < length && result == 0;) {
      const struct dirent64 *entry = (const struct dirent64 *)(block + at);
      at += entry->d_reclen;
      if (entry->d_name[0] == '.') continue;
      ssize_t size = FAULTY(SLUICE_FAULT_READ_LINK, readlinkat(directory, entry->d_name, text, sizeof text));
      // ENOENT: closed meanwhile.
      if (size < 0 && errno != ENOENT) result = -errno;
      if (size != (ssize_t)wanted || memcmp(text, link, wanted) != 0) continue;
      if (count < capacity) found[count] = atoi(entry->d_name);
      count++;
    }
  }
  close(directory);
  return result < 0 ? result : (int)count;
}
