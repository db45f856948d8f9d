// What a process is beside its memory: its threads, children, name and end.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
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
    {"zombie", 0, make_zombie}, {"thread", 0, start_thread}, {"name", 1, set_name}, {"soft-dirty", 0, try_soft_dirty},
    {"exec", 0, execute},       {"exit", 1, end},            {"where-probed", 0, tell_probed}, {"probed", 1, call_probed},
    {NULL, 0, NULL},
};
