// The asynchronous write protection of userfaultfd(2), by a descriptor that belongs to another process' memory:
// Documentation/admin-guide/mm/userfaultfd.rst, "Write protect notifications".
#ifndef SLUICE_USERFAULT_H
#define SLUICE_USERFAULT_H

#include <stdint.h>

/// Chooses what a fresh descriptor does: a first write to a protected page lifts the protection and nobody is asked
/// (UFFD_FEATURE_WP_ASYNC, Linux 6.7). 0 or -errno: EINVAL where the kernel cannot do that.
int sluice_userfault_enable(int descriptor);

/// Registers the mappings between two addresses for write protection (UFFDIO_REGISTER). 0 or -errno: EBUSY when one of
/// them is registered with another descriptor, EINVAL or EPERM when one cannot be registered, ENOENT (EINVAL) when there
/// is none.
int sluice_userfault_register(int descriptor, uint64_t start, uint64_t end);

/// Ends that, and lifts the protection of all pages there (UFFDIO_UNREGISTER). 0 or -errno.
int sluice_userfault_unregister(int descriptor, uint64_t start, uint64_t end);

/// Lifts the protection of the pages between two addresses, which stay registered (UFFDIO_WRITEPROTECT). 0 or -errno:
/// ENOENT when not all of them are registered.
int sluice_userfault_unprotect(int descriptor, uint64_t start, uint64_t end);

#endif
