#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "sluice_guard.h"

enum { HOLD = 'h', RELEASE = 'r', READY = 'y' };

// Takes a command, and the descriptor that comes with it, if one does.
static ssize_t take(int socket, char *command, int *file) {
  char control[CMSG_SPACE(sizeof *file)];
  struct iovec part = {.iov_base = command, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = TEMP_FAILURE_RETRY(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
  struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(file, CMSG_DATA(header), sizeof *file);
  return got;
}

// The guard. In the child of a process with threads: nothing but system calls.
static _Noreturn void guard(int socket) {
  // Whatever ends a terminal's or a service's programs is not meant for the guard, which ends by itself.
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  prctl(PR_SET_NAME, "sluice-guard", 0, 0, 0);
  // Nothing else is kept open: a pipe would never end for its reader, nor a lock be let go of.
  if (socket != 0) dup2(socket, 0);
  close_range(1, ~0U, 0);
  int held = -1;
  while (1) {
    char command = 0;
    int file = -1;
    if (take(0, &command, &file) <= 0) break;
    if (held >= 0) close(held);
    held = command == HOLD ? file : -1;
    char ready = READY;
    if (TEMP_FAILURE_RETRY(send(0, &ready, 1, MSG_NOSIGNAL)) != 1) break;
  }
  if (held >= 0) (void)!TEMP_FAILURE_RETRY(write(held, "0", 1));
  _exit(0);
}

int sluice_guard_start(void) {
  int sockets[2];
  if (FAULTY(SLUICE_FAULT_GUARD, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) < 0) return -errno;
  // Twice: so it is nobody's child, and nobody need wait for it.
  pid_t child = fork();
  if (child == 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) guard(sockets[1]);
    _exit(grandchild < 0 ? errno : 0);
  }
  int error = child < 0 ? errno : 0;
  close(sockets[1]);
  if (child > 0) {
    int status = 0;
    if (TEMP_FAILURE_RETRY(waitpid(child, &status, 0)) == child && WIFEXITED(status)) error = WEXITSTATUS(status);
  }
  if (error == 0) return sockets[0];
  close(sockets[0]);
  return -error;
}

static int tell(int guard, char command, int file) {
  char control[CMSG_SPACE(sizeof file)] = {0};
  struct iovec part = {.iov_base = &command, .iov_len = 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (file >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  if (TEMP_FAILURE_RETRY(sendmsg(guard, &message, MSG_NOSIGNAL)) < 0) return -errno;
  char answer = 0;
  ssize_t got = TEMP_FAILURE_RETRY(recv(guard, &answer, 1, 0));
  if (got < 0) return -errno;
  return got == 1 && answer == READY ? 0 : -EPIPE;
}

int sluice_guard_hold(int guard, int file) { return tell(guard, HOLD, file); }

int sluice_guard_release(int guard) { return tell(guard, RELEASE, -1); }
