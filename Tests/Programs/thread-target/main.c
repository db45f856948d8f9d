// thread-target: a process with threads that never rest, for tests of programs that stop it.
//
//   --spin N      N threads that count, each for itself
//   --breed N     N threads that each start another one and end, and so on without end; counts the births
//   --signals     counts the SIGRTMIN that it gets
//   --vfork       a thread that waits for a child of vfork, which never ends: nothing but SIGKILL ends the wait
//   --first-vforks  the same by the first thread
//   --exec        a second thread executes the program anew, with the same options, and so on without end
//   --first-ends  the first thread ends upon SIGUSR1, and the others go on
//
// When all of them run it writes "ready ADDRESS" to standard output, once: there are its counters, as 64-bit words:
// the signals, the births, then those of --spin. It ends by itself after ten minutes.
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

  // Before the first thread starts: all inherit it, and only sigwait takes the signal.
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGUSR1);
  sigprocmask(SIG_BLOCK, &end, NULL);

  int executes = 0, first_ends = 0, first_vforks = 0;
  for (char **option = arguments + 1; *option != NULL; option++) {
    if (strcmp(*option, "--spin") == 0) {
      int spinners = number_after(option++);
      for (int at = 0; at < spinners; at++) start(spin, &counters[FIRST_SPINNER + at]);
    } else if (strcmp(*option, "--breed") == 0) {
      int chains = number_after(option++);
      for (int at = 0; at < chains; at++) start(breed, NULL);
    } else if (strcmp(*option, "--vfork") == 0) {
      start(wait_for_child, NULL);
    } else if (strcmp(*option, "--first-vforks") == 0) {
      first_vforks = 1;
    } else if (strcmp(*option, "--exec") == 0) {
      executes = 1;
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
  int number;
  if (first_ends && sigwait(&end, &number) == 0) pthread_exit(NULL);
  for (;;) pause();
}
