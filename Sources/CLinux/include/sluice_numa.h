// NUMA: where memory is, where it is to come from, and which processors and devices are near it.
#ifndef SLUICE_NUMA_H
#define SLUICE_NUMA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// The highest number of a node, and of a processor, that the functions here know; kernels are built for fewer.
#define SLUICE_MAX_NODES 1024
#define SLUICE_MAX_PROCESSORS 8192

/// The list of nodes that are online (/sys/devices/system/node/online), such as "0-1": the one thing that is asked on a machine
/// with one node. Returns its length, without a terminating NUL, or -errno: ENOENT where the kernel knows no nodes.
ssize_t sluice_nodes_online(char *text, size_t capacity);

/// Has the pages of whole pages that come into being from now on taken from a node, as long as it has some (mbind(2),
/// MPOL_PREFERRED). With MPOL_BIND, a full node would have the kernel kill somebody. 0 or -errno: EINVAL where there is no
/// such node or none of its memory may be used (cpusets), ENOSYS where the kernel knows no nodes, EPERM (seccomp).
int sluice_prefer_node(void *address, size_t length, unsigned node);

/// The nodes that pages of a process are on (move_pages(2) with no target; nothing is moved); 0 for our own. Each is the node
/// or -errno: ENOENT where there is no page now, EFAULT for the page of zeros and where nothing is mapped. Returns 0 or
/// -errno: EPERM, ESRCH, ENOSYS.
int sluice_nodes_of_pages(pid_t pid, size_t count, const uint64_t *addresses, int32_t *nodes);

/// The processors that the calling thread may run on, in ascending order. Returns how many there are, of which the first
/// `capacity` were filled in, or -errno.
ssize_t sluice_allowed_processors(uint32_t *processors, size_t capacity);

/// The name of the network interface that a socket's own address is on; `name` has room for 16 bytes (IFNAMSIZ). 0 or
/// -errno: ENODEV where no interface has it.
int sluice_interface_of_socket(int descriptor, char *name);

#endif
