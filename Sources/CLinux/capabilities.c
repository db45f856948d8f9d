#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_capabilities.h"

// Debian 12's headers are older than this one.
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

int sluice_write_protect_works(void) {
  // Faults of user mode alone: that takes no privilege (Linux 5.11).
  int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  if (file < 0) return -errno;
  struct uffdio_api asked = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_ASYNC};
  // A feature that the kernel does not know is EINVAL.
  int result = ioctl(file, UFFDIO_API, &asked) == 0 ? 1 : errno == EINVAL ? 0 : -errno;
  close(file);
  return result;
}

static int reads_page(const char *page) {
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  if (memory < 0) return -errno;
  char byte;
  int result = pread(memory, &byte, 1, (off_t)(uintptr_t)page) == 1 ? 1 : errno == EIO ? 0 : -errno;
  close(memory);
  return result;
}

int sluice_reads_hidden_memory(void) {
  if (sluice_fault_strikes(SLUICE_FAULT_HIDDEN_MEMORY, NULL)) return 0;
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return -errno;
  // Where there is no page, there is nothing to read.
  *page = 1;
  int result = mprotect(page, size, PROT_NONE) < 0 ? -errno : reads_page(page);
  munmap(page, size);
  return result;
}

int64_t sluice_locked_memory_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0) return -errno;
  return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}
