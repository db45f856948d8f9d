// Naming a process so that it cannot be mistaken for a later one.
#ifndef SLUICE_PROCESS_H
#define SLUICE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/// pidfd_open(2). Returns a descriptor or -errno: ESRCH when there is no such process, EINVAL (ENOENT
/// from 6.15 on) when the number is that of a thread which does not lead its process.
int sluice_pidfd_open(pid_t pid);

/// 1 while the process behind the pidfd has not ended, 0 after, or -errno. A process ends when its
/// last thread does; until it is reaped its pid is not given to another.
int sluice_pidfd_is_alive(int pidfd);

/// Sends a signal to the process behind the pidfd. 0 or -errno: ESRCH when it has ended.
int sluice_pidfd_signal(int pidfd, int signal);

/// Compares the memories of two processes (kcmp(2), KCMP_VM), which have an order that stays while both have them: 0
/// they are the same, 1 the first is less, 2 it is greater, 3 they differ; or -errno where the kernel does not tell:
/// ESRCH when one of them has ended. Those that have no memory, kernel threads and zombies, are all the same.
int sluice_compare_memory(pid_t one, pid_t other);

/// Whether a core is being written of the process (Linux 4.15): 1, 0, or -errno, ESRCH when it has ended. Whatever
/// interrupts the thread that writes it cuts the core short: PTRACE_INTERRUPT, the cgroup freezer.
int sluice_dumps_core(pid_t pid);

/// A procfs of our own, without options and mounted nowhere: the descriptor of its root, or -errno. It takes
/// CAP_SYS_ADMIN.
int sluice_own_proc(void);

/// Whether this kernel has /proc/PID/task/TID/children: 1 or 0.
int sluice_has_children_lists(void);

/// Finds the descriptors of a process whose link in /proc/PID/fd says `link`, such as "anon_inode:[userfaultfd]", or ends
/// so, such as "/clear_refs". One that it has handed to another process and closed is not seen. Returns how many there
/// are, which may be more than the `capacity` that was filled, or -errno: ENOENT when the process is gone.
int sluice_find_descriptors(pid_t pid, const char *link, bool by_ending, int *found, size_t capacity);

/// Whether a process has the file of a device open, or an io_uring: anything by which memory may be given to a device for
/// longer than a system call takes, going by the names below /dev. 1, 0 or -errno: ENOENT when the process is gone.
int sluice_has_device_files(pid_t pid);

/// Whether a path leads to a file of a /proc filesystem, wherever that is mounted: 1, 0 or -errno.
int sluice_is_of_proc(const char *path);

/// Whether this kernel is of that version or a later one, as it says itself: 1, 0 or -errno.
int sluice_kernel_is_at_least(unsigned major, unsigned minor);

#endif
