// The asynchronous write protection of userfaultfd(2), by a descriptor that belongs to another process' memory:
// Documentation/admin-guide/mm/userfaultfd.rst, "Write protect notifications".
#ifndef SLUICE_USERFAULT_H
#define SLUICE_USERFAULT_H

#include <stdint.h>

/// Chooses what a fresh descriptor does: a first write to a protected page lifts the protection and nobody is asked
/// (UFFD_FEATURE_WP_ASYNC, Linux 6.7). 0 or -errno: EINVAL where the kernel cannot do that.
int sluice_userfault_enable(int descriptor);

/// Has the mappings between two addresses watched (UFFDIO_REGISTER). 0 or -errno: EBUSY when another descriptor
/// watches one of them, EINVAL or EPERM when one cannot be watched, ENOENT (EINVAL) when there is none.
int sluice_userfault_watch(int descriptor, uint64_t start, uint64_t end);

/// Ends that, and lifts the protection of all pages there (UFFDIO_UNREGISTER). 0 or -errno.
int sluice_userfault_unwatch(int descriptor, uint64_t start, uint64_t end);

/// Lifts the protection of the pages between two addresses, which goes on being watched (UFFDIO_WRITEPROTECT). 0 or
/// -errno: ENOENT when not all of it is watched.
int sluice_userfault_unprotect(int descriptor, uint64_t start, uint64_t end);

#endif
