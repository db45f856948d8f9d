// What the kernel and our privileges allow, tried without doing anything to another process.
#ifndef SLUICE_CAPABILITIES_H
#define SLUICE_CAPABILITIES_H

#include <stdint.h>

/// Whether the kernel write-protects memory asynchronously for a userfaultfd (UFFD_FEATURE_WP_ASYNC, Linux 6.7):
/// 1, 0, or -errno where there is no userfaultfd for us: ENOSYS, EPERM (seccomp).
int sluice_write_protect_works(void);

/// Whether /proc/PID/mem gives pages that the process itself may not read, such as PROT_NONE, tried on our own: 1, 0 where
/// the kernel gives them to none but a tracer, or to nobody (proc_mem.force_override, Linux 6.12), or -errno.
int sluice_reads_hidden_memory(void);

/// The soft limit on locked memory in bytes (RLIMIT_MEMLOCK), INT64_MAX where there is none, or -errno.
int64_t sluice_locked_memory_limit(void);

#endif
