// A thread of ours that takes note of the end of traced threads while the one that traces them cannot.
//
// A thread that executes a program has ended all others of its process, and waits in the kernel until nothing is left
// of them; of those that are traced nothing goes before their tracer has taken note of their end. The tracer may be
// waiting for that very thread meanwhile: PTRACE_SEIZE of a thread waits for an execve in its process
// (cred_guard_mutex), and no signal but SIGKILL ends that wait. But what one thread of a process traces, another one of
// it may take note of: wait(2), at __WNOTHREAD.
#ifndef SLUICE_REAPER_H
#define SLUICE_REAPER_H

#include <sys/types.h>

struct sluice_reaper;

/// Starts the thread, which waits. NULL with *error set when that fails.
struct sluice_reaper *sluice_reaper_start(int *error);

/// Adds a process: its open /proc/PID/task, which stays open until `sluice_reaper_rest`, and its pid. Not while it
/// works. 0 or -errno.
int sluice_reaper_add(struct sluice_reaper *reaper, int directory, pid_t pid);

/// From now on the reaper takes note of threads that have ended (all but the first one of each process, whose end is for
/// the process' parent to note), whenever no `sluice_reaper_step` comes for some milliseconds.
void sluice_reaper_work(struct sluice_reaper *reaper);

/// Says that the tracer gets on. It costs next to nothing.
void sluice_reaper_step(struct sluice_reaper *reaper);

/// From now on the reaper does nothing, and no process is added.
void sluice_reaper_rest(struct sluice_reaper *reaper);

/// Ends the thread and waits for its end.
void sluice_reaper_end(struct sluice_reaper *reaper);

#endif
