#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_files.h"
#include "sluice_process.h"
#include "status.h"

int sluice_pidfd_open(pid_t pid) {
  long descriptor = FAULTY(SLUICE_FAULT_PIDFD_OPEN, syscall(SYS_pidfd_open, pid, 0));
  return descriptor < 0 ? -errno : (int)descriptor;
}

int sluice_pidfd_is_alive(int pidfd) {
  struct pollfd polled = {.fd = pidfd, .events = POLLIN};
  int ready = TEMP_FAILURE_RETRY(FAULTY(SLUICE_FAULT_PIDFD_POLL, poll(&polled, 1, 0)));
  if (ready < 0) return -errno;
  return ready == 0;
}

int sluice_pidfd_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int sluice_compare_memory(pid_t one, pid_t other) {
  long order = FAULTY(SLUICE_FAULT_COMPARE_MEMORY, syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0));
  return order < 0 ? -errno : (int)order;
}

int sluice_dumps_core(pid_t pid) { return dumps_core(pid); }

int sluice_own_proc(void) {
  long context = syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
  if (context < 0) return -errno;
  long mount = syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  if (mount == 0) {
    mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  }
  int result = mount < 0 ? -errno : (int)mount;
  close((int)context);
  return result;
}

int sluice_has_children_lists(void) { return access("/proc/thread-self/children", F_OK) == 0; }

struct descriptor_search {
  int directory;
  const char *link;
  // Whether the link may begin with anything.
  bool by_ending;
  int *found;
  size_t capacity, count;
  int error;
};

static void look_at_descriptor(void *context, const char *name) {
  struct descriptor_search *search = context;
  char text[PATH_MAX];
  ssize_t length = sluice_read_link_at(search->directory, name, text, sizeof text);
  // ENOENT: closed meanwhile.
  if (length < 0 && length != -ENOENT) search->error = (int)length;
  ssize_t before = length - (ssize_t)strlen(search->link);
  if (before < 0 || (before > 0 && !search->by_ending)) return;
  if (memcmp(text + before, search->link, strlen(search->link)) != 0) return;
  if (search->count < search->capacity) search->found[search->count] = atoi(name);
  search->count++;
}

int sluice_find_descriptors(pid_t pid, const char *link, bool by_ending, int *found, size_t capacity) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  struct descriptor_search search = {.link = link, .by_ending = by_ending, .found = found, .capacity = capacity};
  search.directory = sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_DIRECTORY);
  if (search.directory < 0) return search.directory;
  int listed = sluice_list_directory(search.directory, &search, look_at_descriptor);
  sluice_close(search.directory);
  if (listed < 0) return listed;
  return search.error < 0 ? search.error : (int)search.count;
}

// Device files through which no memory is given to a device for longer than a call takes.
static bool is_plain_device(const char *name) {
  static const char *const NAMES[] = {"null", "zero", "full", "random", "urandom", "kmsg", "console", "ptmx", "log"};
  for (size_t index = 0; index < sizeof NAMES / sizeof *NAMES; index++)
    if (strcmp(name, NAMES[index]) == 0) return true;
  static const char *const BEGINNINGS[] = {"tty", "pts/", "shm/", "mqueue/", "hugepages/"};
  for (size_t index = 0; index < sizeof BEGINNINGS / sizeof *BEGINNINGS; index++)
    if (strncmp(name, BEGINNINGS[index], strlen(BEGINNINGS[index])) == 0) return true;
  return false;
}

struct device_search {
  int directory, error;
  bool has_found;
};

static void look_for_device(void *context, const char *name) {
  struct device_search *search = context;
  char text[PATH_MAX + 1];
  ssize_t length = sluice_read_link_at(search->directory, name, text, PATH_MAX);
  if (length < 0) {
    if (length != -ENOENT) search->error = (int)length;
    return;
  }
  text[length] = 0;
  // The file itself is not asked: one of a network's filesystem may never answer.
  bool is_ring = strcmp(text, "anon_inode:[io_uring]") == 0;
  if (is_ring || (strncmp(text, "/dev/", 5) == 0 && !is_plain_device(text + 5))) search->has_found = true;
}

int sluice_has_device_files(pid_t pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  struct device_search search = {.directory = sluice_open_at(sluice_current_directory(), path, SLUICE_OPEN_DIRECTORY)};
  if (search.directory < 0) return search.directory;
  int listed = sluice_list_directory(search.directory, &search, look_for_device);
  sluice_close(search.directory);
  if (listed < 0) return listed;
  return search.error < 0 ? search.error : search.has_found;
}

int sluice_is_of_proc(const char *path) {
  struct statfs filesystem;
  if (statfs(path, &filesystem) < 0) return -errno;
  return filesystem.f_type == PROC_SUPER_MAGIC;
}

int sluice_kernel_is_at_least(unsigned major, unsigned minor) {
  struct utsname kernel;
  unsigned has_major, has_minor;
  if (uname(&kernel) < 0) return -errno;
  // No release is called otherwise; one that were would be taken for an old one.
  if (sscanf(kernel.release, "%u.%u", &has_major, &has_minor) != 2) return 0;
  return has_major > major || (has_major == major && has_minor >= minor);
}
