// Trying whether a thread can be traced, by one that can be given up.
//
// PTRACE_SEIZE waits, and no signal but SIGKILL ends that wait: for an execve in the process (cred_guard_mutex), which may
// wait for a file that never comes; and, where the thread was stopped by a signal, until it stands in another way
// (JOBCTL_TRAPPING), which it does not while a freezer of version 1 holds it. A thread of ours that waited so would stay
// until the end of this whole program. So a child of ours waits first, which can be killed.
#ifndef SLUICE_TRIAL_H
#define SLUICE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sluice_trial;

/// Starts a child of ours that begins to trace the thread and ends at once, by which the kernel lets go of it again: the
/// thread notices nothing. NULL with *error set when that fails.
///
/// It shares our memory, as one of vfork(2) does, so it costs as little where we are large. No wait(2) of ours for
/// children finds it, and no signal tells of its end.
struct sluice_trial *sluice_trial_start(pid_t thread, int *error);

/// Whether it has ended, waiting for so many milliseconds at most.
bool sluice_trial_has_ended(struct sluice_trial *trial, int milliseconds);

/// Kills it where it has not ended, and waits for its end.
void sluice_trial_end(struct sluice_trial *trial);

#endif
