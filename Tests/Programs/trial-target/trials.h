// The trials: what a subject does all the while, and how it finds out that it was harmed. Each is a file.
#ifndef TRIAL_TARGET_TRIALS_H
#define TRIAL_TARGET_TRIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct settings {
  size_t size;             // bytes of memory, where a trial has memory of its own
  bool huge;               // in transparent huge pages
  uint64_t rate;           // pages a second; 0: as many as can be
  unsigned count;          // threads, children or requests at once, where a trial has several
  unsigned period_ms;      // the longest wait, where a trial waits
  const char *file;        // an existing file's name to be, on a disk, for trials that read past the page cache
  char **arguments;        // this program's
};

struct trial {
  const char *name, *what;
  // Goes on until the process is killed; says that it has begun by `trial_begins`, and calls `turn_ends` in between.
  void (*run)(const struct settings *settings);
  // Before there are two processes: what both need, such as a pipe. NULL if nothing.
  void (*prepare)(const struct settings *settings);
  // By the keeper: ends the subject's wait number `number`. NULL if it does not wait for the keeper.
  void (*wake)(pid_t subject, uint32_t number);
};

extern const struct trial writing_trials[], churn_trials[], huge_trials[], task_trials[], program_trials[], direct_trials[],
    ring_trials[], aio_trials[], fault_trials[], blocked_trials[], sleeping_trials[], signal_trials[], compute_trials[],
    related_trials[], growing_trials[], moving_trials[], merging_trials[], marking_trials[], worker_trials[];

// The subject: all is set up. `verify` looks through all that a check should see, and may be NULL.
void trial_begins(void (*verify)(void));

// The subject's first thread, after each turn: looks whether it is still what it was, and does a check that was asked for.
void turn_ends(void);

#endif
