#define _GNU_SOURCE
#include "sluice_trial.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"

struct sluice_trial {
  pid_t thread;
  pid_t child;
  int pidfd;
  _Alignas(16) char stack[16384];
};

// Its errno is that of the thread that has started it, which does not look at it meanwhile.
__attribute__((no_sanitize("address", "thread"))) static int try_to_trace(void *context) {
  const struct sluice_trial *trial = context;
  // It ends with the thread that waits for it, however that one ends.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  (void)syscall(SYS_ptrace, PTRACE_SEIZE, trial->thread, NULL, NULL);
  return 0;
}

struct sluice_trial *sluice_trial_start(pid_t thread, int *error) {
  struct sluice_trial *trial = malloc(sizeof *trial);
  if (trial == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  trial->thread = thread;
  // Our handlers would run in it, with our memory.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  trial->child = FAULTY(SLUICE_FAULT_TRACE, clone(try_to_trace, trial->stack + sizeof trial->stack,
                                                  CLONE_VM | CLONE_PIDFD, trial, &trial->pidfd));
  *error = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (trial->child >= 0) return trial;
  free(trial);
  return NULL;
}

bool sluice_trial_has_ended(struct sluice_trial *trial, int milliseconds) {
  struct pollfd polled = {.fd = trial->pidfd, .events = POLLIN};
  return poll(&polled, 1, milliseconds) == 1;
}

void sluice_trial_end(struct sluice_trial *trial) {
  (void)syscall(SYS_pidfd_send_signal, trial->pidfd, SIGKILL, NULL, 0);
  // One whose end sends no signal is waited for only where that is asked for.
  TEMP_FAILURE_RETRY(waitpid(trial->child, NULL, __WALL));
  close(trial->pidfd);
  free(trial);
}
