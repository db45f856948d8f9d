// relation-target: processes that share one memory (CLONE_VM), or one pid in pid namespaces of their own, and write to
// their memory all the while, for tests of programs that copy it.
//
//   relation-target child      the owner of the memory, and its child that shares it
//   relation-target sibling    the owner, and a sibling of it that shares its memory
//   relation-target orphan     the same by a maker that shares it, too, and has ended: what it has made belongs to the tree
//   relation-target outside    the same; but the owner alone is to be copied, and the other one is not below it
//   relation-target headless   the owner, and a child that shares its memory, whose main thread has ended
//   relation-target names      a process that is 1 in its own pid namespace; SIGUSR1 makes another such, nearer to the top
//
// Once it is ready it writes "ready tree=PID owner=PID other=PID" to standard output: the process to copy, and two below or
// beside it; of `names` the other one is 0. SIGUSR1 makes it write "born PID". A process that shares the memory executes
// another program upon SIGUSR1. All end when the first one does.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 32 << 20, STACK = 64 << 10, PAGE = 4096 };

// What the processes tell each other.
static struct {
  _Atomic pid_t owner, other;
} *told;

static pid_t top;
static unsigned char *memory;
static volatile sig_atomic_t is_asked;

static void fail(const char *doing) {
  perror(doing);
  exit(1);
}

static void ask(int number) {
  (void)number;
  is_asked = 1;
}

// Of those that share a memory, each changes other bytes of the same pages; errno is everybody's, and so nobody's.
static _Noreturn void write_without_end(unsigned long which) {
  for (unsigned long at = 0;; at++) {
    memory[(at * 7919 * 64 + which) % SIZE]++;
    if (at % 64 != 0) continue;
    usleep(1000);
    if (kill(top, 0) != 0) _exit(0);
    if (is_asked && getpid() == told->other) execl("/bin/sleep", "sleep", "600", NULL);
  }
}

static int share(void *unused) {
  (void)unused;
  told->other = getpid();
  write_without_end(1);
}

static int write_beside(void *unused) {
  (void)unused;
  write_without_end(1);
}

// By system calls alone: the library's threads are the owner's.
static int share_without_main_thread(void *stack) {
  int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  if (clone(write_beside, stack, flags, NULL) < 0) _exit(1);
  told->other = getpid();
  syscall(SYS_exit, 0);
  return 0;
}

static char *new_stack(void) {
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) fail("mmap");
  return stack + STACK;
}

static int make_and_end(void *stack) {
  if (clone(share, stack, CLONE_VM | SIGCHLD, NULL) < 0) _exit(1);
  _exit(0);
}

static _Noreturn void own(const char *relation) {
  for (size_t at = 0; at < SIZE; at += PAGE) memory[at] = 3;
  told->owner = getpid();
  signal(SIGUSR1, ask);
  bool is_orphan = strcmp(relation, "orphan") == 0, is_headless = strcmp(relation, "headless") == 0;
  bool is_sibling = strcmp(relation, "sibling") == 0 || strcmp(relation, "outside") == 0;
  int flags = CLONE_VM | SIGCHLD | (is_sibling ? CLONE_PARENT : 0);
  // The one that makes another has a stack of its own, and has the other's ready.
  char *stack = new_stack();
  pid_t made = is_orphan     ? clone(make_and_end, new_stack(), flags, stack)
               : is_headless ? clone(share_without_main_thread, new_stack(), flags, stack)
                             : clone(share, stack, flags, NULL);
  if (made < 0) fail("clone");
  if (is_orphan && waitpid(made, NULL, 0) != made) fail("waitpid");
  write_without_end(0);
}

static int be_first(void *unused) {
  (void)unused;
  // Its maker, the top or the process below, cannot be seen from in here.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) _exit(1);
  for (size_t at = 0; at < SIZE; at += PAGE) memory[at] = (unsigned char)(at / PAGE);
  for (unsigned long at = 0;; at++) {
    memory[(at * 7919 * 64) % SIZE]++;
    if (at % 64 == 0) usleep(1000);
  }
  return 0;
}

static pid_t make_namespace(void) {
  pid_t made = clone(be_first, new_stack(), CLONE_NEWPID | SIGCHLD, NULL);
  if (made < 0) fail("clone");
  return made;
}

static _Noreturn void be_namespaces(void) {
  signal(SIGUSR1, ask);
  if (fork() == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != top) _exit(1);
    told->owner = make_namespace();
    for (;;) pause();
  }
  while (told->owner == 0) usleep(1000);
  printf("ready tree=%d owner=%d other=0\n", (int)top, (int)told->owner);
  for (;;) {
    fflush(stdout);
    while (!is_asked) usleep(1000);
    is_asked = 0;
    printf("born %d\n", (int)make_namespace());
  }
}

int main(int count, char **arguments) {
  if (count != 2) {
    fputs("usage: relation-target child|sibling|orphan|outside|headless|names\n", stderr);
    return 2;
  }
  const char *relation = arguments[1];
  top = getpid();
  told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (told == MAP_FAILED || memory == MAP_FAILED) fail("mmap");
  if (strcmp(relation, "names") == 0) be_namespaces();
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail("prctl");
  if (fork() == 0) own(relation);
  while (told->owner == 0 || told->other == 0) usleep(1000);
  bool is_outside = strcmp(relation, "outside") == 0;
  printf("ready tree=%d owner=%d other=%d\n", (int)(is_outside ? told->owner : top), (int)told->owner, (int)told->other);
  fflush(stdout);
  for (;;)
    if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) pause();
}
