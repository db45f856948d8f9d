#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/mempolicy.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_numa.h"

enum { word_bits = 8 * sizeof(unsigned long) };

ssize_t sluice_nodes_online(char *text, size_t capacity) {
  int file = open("/sys/devices/system/node/online", O_RDONLY | O_CLOEXEC);
  if (file < 0) return -errno;
  ssize_t length = TEMP_FAILURE_RETRY(read(file, text, capacity));
  ssize_t result = length < 0 ? -errno : length;
  close(file);
  return result;
}

int sluice_prefer_node(void *address, size_t length, unsigned node) {
  if (node >= SLUICE_MAX_NODES) return -EINVAL;
  unsigned long mask[SLUICE_MAX_NODES / word_bits] = {0};
  mask[node / word_bits] |= 1UL << node % word_bits;
  // The kernel takes one bit fewer than it is told.
  long result = FAULTY(SLUICE_FAULT_PREFER_NODE,
                       syscall(SYS_mbind, address, length, MPOL_PREFERRED, mask, SLUICE_MAX_NODES + 1UL, 0U));
  return result < 0 ? -errno : 0;
}

int sluice_nodes_of_pages(pid_t pid, size_t count, const uint64_t *addresses, int32_t *nodes) {
  _Static_assert(sizeof(void *) == sizeof(uint64_t), "addresses are handed on as pointers");
  long result = FAULTY(SLUICE_FAULT_NODES_OF_PAGES, syscall(SYS_move_pages, pid, count, addresses, NULL, nodes, 0));
  return result < 0 ? -errno : 0;
}

ssize_t sluice_allowed_processors(uint32_t *processors, size_t capacity) {
  unsigned long mask[SLUICE_MAX_PROCESSORS / word_bits] = {0};
  if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)mask) < 0) return -errno;
  size_t found = 0;
  for (uint32_t processor = 0; processor < SLUICE_MAX_PROCESSORS; processor++) {
    if ((mask[processor / word_bits] >> processor % word_bits & 1) == 0) continue;
    if (found < capacity) processors[found] = processor;
    found++;
  }
  return (ssize_t)found;
}

static bool is_same_address(const struct sockaddr *one, const struct sockaddr *other) {
  if (one == NULL || one->sa_family != other->sa_family) return false;
  switch (one->sa_family) {
    case AF_INET:
      return memcmp(&((const struct sockaddr_in *)one)->sin_addr, &((const struct sockaddr_in *)other)->sin_addr,
                    sizeof(struct in_addr)) == 0;
    case AF_INET6:
      return memcmp(&((const struct sockaddr_in6 *)one)->sin6_addr, &((const struct sockaddr_in6 *)other)->sin6_addr,
                    sizeof(struct in6_addr)) == 0;
    default:
      return false;
  }
}

int sluice_interface_of_socket(int descriptor, char *name) {
  union {
    struct sockaddr any;
    struct sockaddr_storage room;
  } own;
  memset(&own, 0, sizeof own);
  socklen_t length = sizeof own;
  if (getsockname(descriptor, &own.any, &length) < 0) return -errno;
  struct ifaddrs *all;
  if (getifaddrs(&all) < 0) return -errno;
  int result = -ENODEV;
  for (const struct ifaddrs *at = all; at != NULL && result != 0; at = at->ifa_next) {
    if (!is_same_address(at->ifa_addr, &own.any)) continue;
    strncpy(name, at->ifa_name, IFNAMSIZ - 1);
    name[IFNAMSIZ - 1] = '\0';
    result = 0;
  }
  freeifaddrs(all);
  return result;
}
