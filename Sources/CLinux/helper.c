#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "first_cgroups.h"
#include "kept.h"
#include "raw.h"

// Room for the stack of a helper, whose bodies keep a few pages of text there.
enum { STACK_BYTES = 256 << 10 };
// Longer than the kernel needs for all that a helper does at first, on a machine that has much else to do.
enum { READY_LIMIT_MS = 30000 };

// At the far end of the helper's stack, which is all of our memory that it keeps by itself.
struct start {
  int socket;
  int error;
  const char *name;
  void (*body)(int socket);
  unsigned cgroup_count;
  int cgroups[FIRST_CGROUPS_MOST];
  struct kept kept;
};

// MARK: In the helper: no function of the C library

// What is done with signals here was decided by our maker, whose code is gone. All of them stay blocked; but a fault of
// our own is to end us, not to run into nothing.
static void forget_handlers(void) {
  enum { SIGNALS = 64, SET_BYTES = 8 };
  // Larger than the kernel's structure: zeros stand for SIG_DFL.
  uint64_t action[8];
  clear_bytes(action, sizeof action);
  for (int signal = 1; signal <= SIGNALS; signal++) RAW(SYS_rt_sigaction, signal, action, NULL, SET_BYTES);
  uint64_t all = ~0ULL;
  RAW(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, SET_BYTES);
}

// Has the kernel look elsewhere when memory is short: it takes CAP_SYS_RESOURCE, and without it a helper is as likely to
// be chosen as its maker.
static void spare_when_memory_is_short(void) {
  long file = RAW(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file >= 0) RAW(SYS_write, file, "-1000", 5);
}

static _Noreturn void run(const struct start *start) {
  // Whatever ends a terminal's or a service's programs is not meant for a helper, which ends by itself.
  RAW(SYS_setsid, 0);
  forget_handlers();
  // Where that is not allowed, it stays where it is.
  for (unsigned at = 0; at < start->cgroup_count; at++) RAW(SYS_write, start->cgroups[at], "0", 1);
  RAW(SYS_prctl, PR_SET_NAME, start->name);
  spare_when_memory_is_short();
  // It has its maker's privileges, and nobody looks into it who has not.
  RAW(SYS_prctl, PR_SET_DUMPABLE, 0);
  // No directory is kept from being unmounted.
  RAW(SYS_chdir, "/");
  // Nothing else is kept open: a pipe would never end for its reader, nor a lock be let go of.
  if (start->socket != 0) RAW(SYS_dup3, start->socket, 0, 0);
  RAW(SYS_close_range, 1, ~0U, 0);
  let_go_of_others(&start->kept);
  if (send_message(0, "y", 1, -1) == 0) start->body(0);
  for (;;) RAW(SYS_exit_group, 0);
}

// In a process that has the memory of its maker, who waits for its end: so that memory is copied but once, for the
// helper.
__attribute__((no_sanitize("address", "thread"))) static int begin(void *argument) {
  struct start *start = argument;
  // By the system call, for what others have asked to be done in each child of theirs (pthread_atfork) is not for it.
  long made = RAW(SYS_clone, 0);
  if (made == 0) run(start);
  start->error = made < 0 ? (int)-made : 0;
  for (;;) RAW(SYS_exit_group, 0);
}

// MARK: Our side

// Starts the helper by way of a process that ends at once: so it is nobody's child, and nobody need wait for it. That one
// ends without a signal, so a wait for any child, by another thread of ours, is not for it either. 0 or -errno.
static int start_by_another(int socket, const char *name, void (*body)(int socket)) {
  char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -errno;
  struct start *start = (struct start *)stack;
  *start = (struct start){.socket = socket, .name = name, .body = body};
  start->cgroup_count = open_first_cgroups(start->cgroups);
  find_kept(&start->kept, (struct range){.start = (uintptr_t)stack, .end = (uintptr_t)stack + STACK_BYTES});
  // No handler runs in there, in the memory of whoever waits for it; and no signal but SIGKILL reaches the helper.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t child = clone(begin, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK, start);
  int error = child < 0 ? errno : start->error;
  // Nothing is there to wait for where somebody waits for whatever ends (__WALL).
  if (child > 0) (void)TEMP_FAILURE_RETRY(waitpid(child, NULL, __WALL));
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  for (unsigned at = 0; at < start->cgroup_count; at++) close(start->cgroups[at]);
  munmap(stack, STACK_BYTES);
  return -error;
}

// Only what has left our cgroup is of use when that is killed. 0 or -errno.
static int wait_until_ready(int socket) {
  struct pollfd answer = {.fd = socket, .events = POLLIN};
  int ready = TEMP_FAILURE_RETRY(poll(&answer, 1, READY_LIMIT_MS));
  if (ready <= 0) return ready < 0 ? -errno : -ETIMEDOUT;
  char told;
  int none;
  return receive_message(socket, &told, 1, &none);
}

int start_helper(const char *name, void (*body)(int socket)) {
  int sockets[2];
  if (FAULTY(SLUICE_FAULT_GUARD, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) < 0) return -errno;
  int result = start_by_another(sockets[1], name, body);
  close(sockets[1]);
  if (result == 0) result = wait_until_ready(sockets[0]);
  if (result == 0) return sockets[0];
  close(sockets[0]);
  return result;
}
