// What a cgroup of version 2 tells of itself, and whether what it holds still has run meanwhile.
#ifndef SLUICE_CGROUP_H
#define SLUICE_CGROUP_H

#include <stdint.h>
#include <sys/types.h>

/// Calls `visit` with the name of each cgroup directly below an open one. 0 or -errno: ENOENT when it was removed.
int sluice_list_cgroups(int directory, void *context, void (*visit)(void *context, const char *name));

/// Waits until cgroup.events, an open file, has changed since it was read last, for so many milliseconds at most.
void sluice_wait_for_cgroup_events(int file, int milliseconds);

/// Starts to take note of writes to files of cgroups (inotify(7)). Returns a descriptor or -errno: EMFILE where the user
/// has as many of these as are allowed.
int sluice_cgroup_monitor_start(void);

/// Takes note, from now on, of writes to the files of an open cgroup. 0 or -errno: ENOSPC where the user monitors as much
/// as is allowed.
int sluice_cgroup_monitor_add(int monitor, int directory);

/// Whether anybody has written to a file that freezes and thaws a cgroup, or moves processes into it, since this was
/// asked last. Our own writes count, too. 1, 0, or -errno.
int sluice_cgroup_monitor_saw(int monitor);

/// The processor time that all threads of a process have taken so far, in nanoseconds (clock_getcpuclockid(3)). 0 or
/// -errno: ESRCH when there is no such process.
int sluice_process_time(pid_t pid, uint64_t *nanoseconds);

#endif
