// What a process is beside its memory: its threads, children, name and end.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "memory.h"

static void make_zombie(const struct words *words) {
  (void)words;
  pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t ended;
  // WNOWAIT leaves it as it is; without the wait it might still live when the answer is read.
  if (child < 0 || waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT) < 0) {
    answer_errno();
  } else {
    answer_number(child);
  }
}

static void start_child(const struct words *words) {
  (void)words;
  pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  if (child < 0) {
    answer_errno();
  } else {
    answer_number(child);
  }
}

static int thread_id[2];

static void *sleep_in_thread(void *unused) {
  (void)unused;
  pid_t id = (pid_t)syscall(SYS_gettid);
  if (write(thread_id[1], &id, sizeof id) != sizeof id) abort();
  for (;;) pause();
}

static void start_thread(const struct words *words) {
  (void)words;
  pthread_t thread;
  pid_t id;
  if (pipe2(thread_id, O_CLOEXEC) < 0) {
    answer_errno();
    return;
  }
  errno = pthread_create(&thread, NULL, sleep_in_thread, NULL);
  if (errno != 0 || read(thread_id[0], &id, sizeof id) != sizeof id) {
    answer_errno();
  } else {
    answer_number(id);
  }
}

// Whether the main thread has ended, though the process has not.
static bool main_thread_has_ended(void) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  close(file);
  if (length < 0) return false;
  text[length] = 0;
  const char *name_end = strrchr(text, ')');
  return name_end != NULL && strncmp(name_end, ") Z", 3) == 0;
}

static void *take_over(void *unused) {
  (void)unused;
  while (!main_thread_has_ended()) usleep(100);
  answer_done();
  serve();
  _exit(0);
}

static void leave_main_thread(const struct words *words) {
  (void)words;
  pthread_t thread;
  errno = pthread_create(&thread, NULL, take_over, NULL);
  if (errno != 0) {
    answer_errno();
  } else {
    syscall(SYS_exit, 0);
  }
}

static void ignore(int signal) { (void)signal; }

// Shares our memory, and so must not touch what is ours: errno, above all.
static int wait_and_execute(void *unused) {
  (void)unused;
  pause();
  execl("/bin/sleep", "sleep", "600", NULL);
  _exit(1);
}

static void share_memory(const struct words *words) {
  (void)words;
  static char stack[64 * 1024];
  signal(SIGUSR1, ignore);
  int child = clone(wait_and_execute, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
  if (child < 0) {
    answer_errno();
  } else {
    answer_number(child);
  }
}

static void start_child_as(const struct words *words) {
  pid_t pid = (pid_t)number_in(words, 0);
  struct clone_args arguments = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
  long child = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0)
    for (;;) pause();
  answer_result(child < 0 ? -1 : 0);
}

static void set_name(const struct words *words) { answer_result(prctl(PR_SET_NAME, words->word[0], 0, 0, 0)); }

static void try_soft_dirty(const struct words *words) {
  (void)words;
  int refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  volatile char *page = map_alone(1, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  uint64_t entry = 0;
  if (refs < 0 || pagemap < 0 || page == MAP_FAILED) {
    answer_errno();
    return;
  }
  page[0] = 1;
  if (write(refs, "4", 1) != 1) {
    answer_errno();
    return;
  }
  page[0] = 2;
  off_t offset = (off_t)((uintptr_t)page / page_size() * sizeof entry);
  if (pread(pagemap, &entry, sizeof entry, offset) != sizeof entry) {
    answer_errno();
    return;
  }
  close(refs);
  close(pagemap);
  answer_number((long)(entry >> 55 & 1));
}

static char *const own_name[] = {"mapping-target", NULL};

static void execute(const struct words *words) {
  (void)words;
  execv("/proc/self/exe", own_name);
  answer_errno();
}

// Its first instruction is one that the kernel does not carry out itself when there is a uprobe on it, but in a mapping that it makes for that.
long probed(long value);
#ifdef __x86_64__
__asm__(".text\n.globl probed\nprobed:\n mov %rdi, %rax\n ret\n");
#else
__attribute__((noinline)) long probed(long value) { return value; }
#endif

static void tell_probed(const struct words *words) {
  (void)words;
  answer_address((const void *)probed);
}

static void call_probed(const struct words *words) { answer_number(probed((long)number_in(words, 0))); }

static void end(const struct words *words) { _exit((int)number_in(words, 0)); }

const struct command process_commands[] = {
    {"zombie", 0, make_zombie},
    {"child", 0, start_child},
    {"thread", 0, start_thread},
    {"leave-main-thread", 0, leave_main_thread},
    {"share-memory", 0, share_memory},
    {"child-as", 1, start_child_as},
    {"name", 1, set_name},
    {"soft-dirty", 0, try_soft_dirty},
    {"exec", 0, execute},
    {"exit", 1, end},
    {"where-probed", 0, tell_probed},
    {"probed", 1, call_probed},
    {NULL, 0, NULL},
};
