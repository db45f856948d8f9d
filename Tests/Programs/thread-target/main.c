// thread-target: a process with threads that never rest, for tests of programs that stop it.
//
//   --spin N      N threads that count, each for itself
//   --share N     N processes that share the memory (CLONE_VM) and count like those threads, behind them
//   --breed N     N threads that each start another one and end, and so on without end; counts the births
//   --signals     counts the SIGRTMIN that it gets
//   --vfork       a thread that waits for a child of vfork, which never ends: nothing but SIGKILL ends the wait
//   --first-vforks  the same by the first thread
//   --exec        a second thread executes the program anew, with the same options, and so on without end
//   --exec-once   the thread that is started last does so upon SIGUSR2, and afterwards none does
//   --first-ends  the first thread ends upon SIGUSR1, and the others go on
//
// When all of them run it writes "ready ADDRESS" to standard output, once: there are its counters, as 64-bit words:
// the signals, the births, then those of --spin. It ends by itself after ten minutes.
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SIGNALS, BIRTHS, FIRST_SPINNER };

static _Atomic uint64_t *counters;
static char **own_arguments;
static pthread_attr_t detached;

static void fail(const char *doing) {
  perror(doing);
  exit(1);
}

static void start(void *(*body)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, &detached, body, argument) != 0) fail("pthread_create");
}

static void *spin(void *counter) {
  for (;;) atomic_fetch_add_explicit((_Atomic uint64_t *)counter, 1, memory_order_relaxed);
  return NULL;
}

static int share(void *counter) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  spin(counter);
  return 0;
}

static void start_sharing(_Atomic uint64_t *counter) {
  size_t size = 64 << 10;
  char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) fail("mmap");
  if (clone(share, stack + size, CLONE_VM | SIGCHLD, (void *)counter) < 0) fail("clone");
}

static void *breed(void *unused) {
  atomic_fetch_add(&counters[BIRTHS], 1);
  start(breed, unused);
  return NULL;
}

static void count_signal(int number) {
  (void)number;
  atomic_fetch_add(&counters[SIGNALS], 1);
}

static void *wait_for_child(void *unused) {
  (void)unused;
  if (vfork() == 0) {
    for (;;) pause();
  }
  return NULL;
}

static void *execute_anew(void *unused) {
  (void)unused;
  execv("/proc/self/exe", own_arguments);
  fail("execv");
  return NULL;
}

// After it the program is the one whose options say no --exec-once.
static void *execute_upon_signal(void *unused) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGUSR2);
  int number;
  if (sigwait(&awaited, &number) != 0) fail("sigwait");
  for (char **option = own_arguments; *option != NULL; option++) {
    if (strcmp(*option, "--exec-once") == 0) *option = "--signals";
  }
  return execute_anew(unused);
}

static int number_after(char **option) {
  int number = option[1] == NULL ? 0 : atoi(option[1]);
  if (number < 1) {
    fprintf(stderr, "thread-target: %s takes a number\n", *option);
    exit(2);
  }
  return number;
}

int main(int count, char **arguments) {
  (void)count;
  own_arguments = arguments;
  size_t size = 1 << 16;
  counters = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (counters == MAP_FAILED) fail("mmap");
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&detached, 64 << 10);
  signal(SIGRTMIN, count_signal);

  // Before the first thread starts: all inherit it, and only sigwait takes the signals.
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGUSR1);
  sigset_t waited_for = end;
  sigaddset(&waited_for, SIGUSR2);
  sigprocmask(SIG_BLOCK, &waited_for, NULL);

  int counting = 0;
  int executes = 0, executes_once = 0, first_ends = 0, first_vforks = 0;
  for (char **option = arguments + 1; *option != NULL; option++) {
    if (strcmp(*option, "--spin") == 0) {
      int spinners = number_after(option++);
      for (int at = 0; at < spinners; at++) start(spin, &counters[FIRST_SPINNER + counting++]);
    } else if (strcmp(*option, "--share") == 0) {
      int sharing = number_after(option++);
      for (int at = 0; at < sharing; at++) start_sharing(&counters[FIRST_SPINNER + counting++]);
    } else if (strcmp(*option, "--breed") == 0) {
      int chains = number_after(option++);
      for (int at = 0; at < chains; at++) start(breed, NULL);
    } else if (strcmp(*option, "--vfork") == 0) {
      start(wait_for_child, NULL);
    } else if (strcmp(*option, "--first-vforks") == 0) {
      first_vforks = 1;
    } else if (strcmp(*option, "--exec") == 0) {
      executes = 1;
    } else if (strcmp(*option, "--exec-once") == 0) {
      executes_once = 1;
    } else if (strcmp(*option, "--first-ends") == 0) {
      first_ends = 1;
    } else if (strcmp(*option, "--signals") != 0) {
      fprintf(stderr, "thread-target: no such option: %s\n", *option);
      return 2;
    }
  }
  // Only the first time: after an exec the variable says that it was said.
  if (getenv("THREAD_TARGET_IS_READY") == NULL) {
    setenv("THREAD_TARGET_IS_READY", "1", 1);
    alarm(600);
    printf("ready 0x%" PRIxPTR "\n", (uintptr_t)counters);
    fflush(stdout);
  }
  if (first_vforks) wait_for_child(NULL);
  if (executes) start(execute_anew, NULL);
  if (executes_once) start(execute_upon_signal, NULL);
  int number;
  if (first_ends && sigwait(&end, &number) == 0) pthread_exit(NULL);
  for (;;) pause();
}
