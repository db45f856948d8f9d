#define _GNU_SOURCE
#include "sluice_userfault.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "faults.h"

// The headers of Debian 12 are older than these.
#define FEATURE_PAGEFAULT_FLAG_WP (1ULL << 0)
#define FEATURE_WP_HUGETLBFS_SHMEM (1ULL << 12)
#define FEATURE_WP_UNPOPULATED (1ULL << 13)
#define FEATURE_WP_ASYNC (1ULL << 15)

int sluice_userfault_enable(int descriptor) {
  struct uffdio_api api = {
      .api = UFFD_API,
      .features = FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_HUGETLBFS_SHMEM | FEATURE_WP_UNPOPULATED | FEATURE_WP_ASYNC,
  };
  return FAULTY(SLUICE_FAULT_USERFAULT, ioctl(descriptor, UFFDIO_API, &api)) < 0 ? -errno : 0;
}

int sluice_userfault_register(int descriptor, uint64_t start, uint64_t end) {
  struct uffdio_register registration = {
      .range = {.start = start, .len = end - start}, .mode = UFFDIO_REGISTER_MODE_WP};
  return FAULTY(SLUICE_FAULT_USERFAULT, ioctl(descriptor, UFFDIO_REGISTER, &registration)) < 0 ? -errno : 0;
}

int sluice_userfault_unregister(int descriptor, uint64_t start, uint64_t end) {
  struct uffdio_range range = {.start = start, .len = end - start};
  return FAULTY(SLUICE_FAULT_USERFAULT, ioctl(descriptor, UFFDIO_UNREGISTER, &range)) < 0 ? -errno : 0;
}

int sluice_userfault_unprotect(int descriptor, uint64_t start, uint64_t end) {
  struct uffdio_writeprotect protection = {.range = {.start = start, .len = end - start}, .mode = 0};
  return FAULTY(SLUICE_FAULT_USERFAULT, ioctl(descriptor, UFFDIO_WRITEPROTECT, &protection)) < 0 ? -errno : 0;
}
