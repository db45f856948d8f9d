#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_ptrace.h"
#include "sluice_reaper.h"
#include "sluice_threads.h"

// A thread stops within some hundred microseconds as a rule: less would wake the reaper for nothing, and a process
// that waits for its threads' end waits for this long.
static const long patience_nanoseconds = 2000000;

struct traced {
  int directory;
  pid_t pid;
};

struct sluice_reaper {
  pthread_t thread;
  atomic_ulong steps;
  // For all below.
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  struct traced *processes;
  size_t count;
  bool works;
  bool is_to_end;
};

// One that is not traced by us, or has not ended, stays as it is. It is looked at first, since to ask for the end of a
// traced thread is to take note of its stop as well (wait_task_stopped in kernel/exit.c).
static void note_end(pid_t thread) {
  int signal = 0;
  if (sluice_look_at_thread(thread, &signal) == SLUICE_THREAD_HAS_ENDED) (void)sluice_note_end_of_thread(thread);
}

static void note_ends(struct traced process) {
  // Opened anew: the tracer reads from the other one, and where it has come to belongs to the open file.
  int directory = openat(process.directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // The process is gone, or there are no descriptors left: next time, then.
  if (directory < 0) return;
  _Alignas(struct dirent64) char block[4096];
  ssize_t length;
  while ((length = getdents64(directory, block, sizeof block)) > 0) {
    for (ssize_t at = 0; at < length;) {
      const struct dirent64 *entry = (const struct dirent64 *)(block + at);
      at += entry->d_reclen;
      pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
      if (thread != 0 && thread != process.pid) note_end(thread);
    }
  }
  close(directory);
}

static void *run(void *context) {
  struct sluice_reaper *reaper = context;
  sluice_name_this_thread("sluice-reaper");
  pthread_mutex_lock(&reaper->mutex);
  while (!reaper->is_to_end) {
    if (!reaper->works) {
      pthread_cond_wait(&reaper->changed, &reaper->mutex);
      continue;
    }
    unsigned long before = atomic_load(&reaper->steps);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += patience_nanoseconds;
    if (until.tv_nsec >= 1000000000) {
      until.tv_sec++;
      until.tv_nsec -= 1000000000;
    }
    int result = pthread_cond_timedwait(&reaper->changed, &reaper->mutex, &until);
    if (result != ETIMEDOUT || !reaper->works || atomic_load(&reaper->steps) != before) continue;
    for (size_t at = 0; at < reaper->count; at++) note_ends(reaper->processes[at]);
  }
  pthread_mutex_unlock(&reaper->mutex);
  return NULL;
}

static int start_thread(struct sluice_reaper *reaper) {
  // The program's signals are for other threads to take.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&reaper->thread, NULL, run, reaper);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

struct sluice_reaper *sluice_reaper_start(int *error) {
  struct sluice_reaper *made = calloc(1, sizeof *made);
  if (made == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  pthread_mutex_init(&made->mutex, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&made->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  *error = FAULTY(SLUICE_FAULT_REAPER, 0) < 0 ? errno : start_thread(made);
  if (*error == 0) return made;
  pthread_cond_destroy(&made->changed);
  pthread_mutex_destroy(&made->mutex);
  free(made);
  return NULL;
}

int sluice_reaper_add(struct sluice_reaper *reaper, int directory, pid_t pid) {
  pthread_mutex_lock(&reaper->mutex);
  struct traced *grown = realloc(reaper->processes, (reaper->count + 1) * sizeof *grown);
  if (grown != NULL) {
    reaper->processes = grown;
    grown[reaper->count++] = (struct traced){.directory = directory, .pid = pid};
  }
  pthread_mutex_unlock(&reaper->mutex);
  return grown == NULL ? -ENOMEM : 0;
}

void sluice_reaper_work(struct sluice_reaper *reaper) {
  pthread_mutex_lock(&reaper->mutex);
  reaper->works = true;
  pthread_cond_signal(&reaper->changed);
  pthread_mutex_unlock(&reaper->mutex);
}

void sluice_reaper_step(struct sluice_reaper *reaper) {
  atomic_fetch_add_explicit(&reaper->steps, 1, memory_order_relaxed);
}

void sluice_reaper_rest(struct sluice_reaper *reaper) {
  pthread_mutex_lock(&reaper->mutex);
  reaper->works = false;
  pthread_mutex_unlock(&reaper->mutex);
}

void sluice_reaper_end(struct sluice_reaper *reaper) {
  pthread_mutex_lock(&reaper->mutex);
  reaper->is_to_end = true;
  pthread_cond_signal(&reaper->changed);
  pthread_mutex_unlock(&reaper->mutex);
  pthread_join(reaper->thread, NULL);
  pthread_cond_destroy(&reaper->changed);
  pthread_mutex_destroy(&reaper->mutex);
  free(reaper->processes);
  free(reaper);
}
